import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))


@pp.pipeline(out=dict(label=i64))
def classify(p, x: f32[8], on: f32):
    def then(q):
        p.s = small(x)
        return p.s.label

    p.label = pp.if_(on > 0, then, lambda q: 0)
    return dict(label=p.label)
