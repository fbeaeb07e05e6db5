import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))


@pp.pipeline(out=dict(label=i64))
def classify(p, x: f32[8]):
    p.s = small(x)
    if p.s.conf > 0.9:
        return dict(label=p.s.label)
    return dict(label=0)
