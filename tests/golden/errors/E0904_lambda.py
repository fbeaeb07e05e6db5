import pipectl as pp
from pipectl.types import f32

double = pp.stage(
    "double",
    pp.sig(x=f32["*"]).to(y=f32["*"]),
    pp.python(lambda *, x: x * 2),
)


@pp.pipeline(out=dict(y=f32["*"]))
def twice(p, x: f32["*"]):
    return dict(y=double(x))


m = pp.module(twice)
