import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))


@pp.pipeline(out=dict(label=i64["N"]))
def classify(p, x: f32["N", 8]):
    labels = [small(one).label for one in x]
    return dict(label=labels)
