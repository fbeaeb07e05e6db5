import pipectl as pp
from pipectl.types import f32, i64

small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))

answer = small([1.0, 2.0])
