import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))


@pp.pipeline(out=dict(label=i64["*"]))
def classify(p, image: f32["*", 8]):
    p.s = small(
        image=image,
    )
    return dict(label=p.s.lable)


cpu = pp.profile("cpu")
cpu[small].set(instances=2, batching=dict(max=8, max_delay=pp.ms(4)))
cpu[classify.node("t")].set(priority=1)

m = pp.module(classify, profiles=[cpu])
