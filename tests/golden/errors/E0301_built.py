import pipectl as pp
from pipectl.types import f32

DIM = pp.const("DIM", 768)
encode = pp.stage(
    "encode",
    pp.sig(x=f32["*", 8]).to(h=f32["*", DIM]),
    pp.onnx("${FOLDER}/encode.onnx"),
)
head = pp.stage("head", pp.sig(h=f32["*", 384]).to(y=f32["*"]), pp.onnx("head.onnx"))


@pp.pipeline(out=dict(y=f32["*"]))
def score(p, x: f32["*", 8], unused: f32["*"]):
    p.h = encode(x)
    return dict(y=head(p.h))


cpu = pp.profile("cpu")
cpu[encode].set(batching=dict(delay=5))
m = pp.module(score, profiles=[cpu])
