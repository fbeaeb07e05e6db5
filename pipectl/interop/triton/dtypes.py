"""Names of dtypes in configurations: `TYPE_FP32` for f32. On the wire they have the names of `pipeline_dsl.dtypes`."""

from __future__ import annotations

from pipeline_dsl.dtypes import DTYPES

_OF = {name: f"TYPE_{'STRING' if d.kserve == 'BYTES' else d.kserve}" for name, d in DTYPES.items() if d.kserve}
_BACK = {theirs: ours for ours, theirs in _OF.items() if theirs != "TYPE_STRING"} | {"TYPE_STRING": "string"}


def triton_name(dtype: str) -> str:
    """`TYPE_FP32` of `f32`; `string`, `bytes` and `json` are all `TYPE_STRING`."""
    return _OF[dtype]


def dtype_of(triton: str) -> str | None:
    """`f32` of `TYPE_FP32`; None for a type that is not said."""
    return _BACK.get(triton)
