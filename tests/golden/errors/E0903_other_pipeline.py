import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))

kept = []


@pp.pipeline(out=dict(label=i64["*"]))
def first(p, x: f32["*", 8]):
    p.s = small(x)
    kept.append(p.s.label)
    return dict(label=p.s.label)


@pp.pipeline(out=dict(label=i64["*"]))
def second(p, x: f32["*", 8]):
    return dict(label=kept[0])
