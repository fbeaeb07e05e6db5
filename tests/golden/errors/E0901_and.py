import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))


@pp.pipeline(out=dict(sure=i64))
def classify(p, x: f32[8]):
    p.s = small(x)
    return dict(sure=p.s.conf > 0.9 and p.s.label > 0)
