"""Sets of stages that compute on a simulated device, without a plan of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backends.base import Batch, BatchResult
from backends.device import Accelerator, DeviceArray
from backends.fused import FusedInstance, Member
from backends.fused.graphs import Graphs
from backends.values import Array
from pipeline_dsl.compile import Options, compile_text
from pipeline_dsl.plan import FusedPlan, Gpu, Hardware, Plan

WIDTH = 3
Function = Callable[..., Any]


class OnDevice:
    """Computes one output with a function of its inputs, on the batch's stream."""

    thread_affine = False
    wants_context = False
    capturable = True

    def __init__(self, function: Function) -> None:
        self.function = function
        self.calls = 0
        self.fails: Exception | None = None
        self.failed: dict[int, Exception] | None = None

    def execute(self, batch: Batch) -> BatchResult:
        self.calls += 1
        if self.fails is not None:
            raise self.fails
        inputs: list[Any] = [v for v in batch.inputs if isinstance(v, DeviceArray)]
        device: Accelerator = batch.stream.device

        def work(out: Any, *reads: Any) -> None:
            out[...] = self.function(*reads)

        # what was made on the way is dropped while it is used, as any library does
        between = device.compute(inputs[0].shape, inputs[0].dtype, work, inputs, batch.stream)
        made = device.compute(
            inputs[0].shape, inputs[0].dtype, lambda out, x: np.copyto(out, x), [between], batch.stream
        )
        return BatchResult((made,), self.failed)

    def warmup(self) -> None: ...

    def close(self) -> None: ...


def plan_of(text: str, device: str = "cuda(0)") -> Plan:
    """The plan of a program whose stages are all on one GPU."""
    profile = f"\nprofile gpu {{\n  * {{ device = {device} }}\n}}\n" if "profile " not in text else ""
    return compile_text(text + profile, Options(profile="gpu"), Hardware(cores=2, gpus=(Gpu("G", 1 << 30),)))


def stage(name: str, inputs: Sequence[str], rows: str = "*, ") -> str:
    given = ", ".join(f"{i}: f32[{rows}{WIDTH}]" for i in inputs)
    return f'stage {name}({given}) -> (y: f32[{rows}{WIDTH}]) using torch("{name}.pt2")\n'


DIAMOND = (
    "pipe 1\n"
    + stage("a", "x")
    + stage("b", "x")
    + stage("c", "x")
    + stage("d", "xz")
    + f"""pipeline p(x: f32[*, {WIDTH}]) -> (y: f32[*, {WIDTH}], z: f32[*, {WIDTH}]) {{
  h = a(x)
  u = b(h)
  v = c(h)
  w = d(u, v)
  return y = w, z = v
}}
"""
)

CHAIN = (
    "pipe 1\n"
    + stage("a", "x")
    + stage("b", "x")
    + f"""pipeline p(x: f32[*, {WIDTH}]) -> (y: f32[*, {WIDTH}]) {{
  h = a(x)
  return y = b(h)
}}
"""
)

FUNCTIONS: dict[str, Function] = {
    "a": lambda x: x * 2 + 1,
    "b": lambda x: x - 3,
    "c": lambda x: x * x,
    "d": lambda x, z: x * 10 + z,
}


def expected(x: Array) -> tuple[Array, Array]:
    """What the diamond gives, in the order of its set's outputs: `v`, then `w`."""
    h = FUNCTIONS["a"](x)
    v = FUNCTIONS["c"](h)
    return v, FUNCTIONS["d"](FUNCTIONS["b"](h), v)


def members_of(plan: Plan, fused: FusedPlan) -> list[OnDevice]:
    return [OnDevice(FUNCTIONS[plan.stages[m.stage].name]) for m in fused.members]


def instance_of(device: Accelerator, text: str = DIAMOND, **options: Any) -> tuple[FusedInstance, list[OnDevice]]:
    plan = plan_of(text)
    (fused,) = plan.fused
    loaded = members_of(plan, fused)
    members = [
        Member(m, plan.stages[m.stage].name, one, one.execute, lambda batch, result: result)
        for m, one in zip(fused.members, loaded, strict=True)
    ]
    options = {"gain": -1.0, "warm": 1, **options}
    return FusedInstance(fused, members, device, Graphs(fused, device, **options)), loaded


def rows_of(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-5, 6, (count, WIDTH)).astype(np.float32)


def run(instance: FusedInstance, x: Array, stream: Any) -> tuple[DeviceArray, ...]:
    """One batch, launched."""
    with stream.use():
        given = stream.device.upload(x, stream)
        result = instance.execute(Batch((given,), len(x), stream=stream))
    return result.outputs


def values(outputs: Sequence[DeviceArray]) -> list[Array]:
    landings = [o.block.device.download(o) for o in outputs]
    for landing in landings:
        landing.event.synchronize()
    return [np.array(landing.array) for landing in landings]
