import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))


@pp.pipeline(out=dict(label=i64["*"], conf=f32["*"]))
def classify(p, x: f32["*", 8]):
    label, conf = small(x)
    return dict(label=label, conf=conf)
