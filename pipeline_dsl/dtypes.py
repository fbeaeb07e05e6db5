"""The dtypes of the language and their names elsewhere: one table.

`DTYPES[name]` gives a `DType`; equality is identity. Names in the KServe v2 protocol, in numpy and the
item size in bytes stand side by side, so no other module spells a dtype name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["bool", "uint", "int", "float", "text", "setting"]


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """A dtype of the language."""

    name: str
    kserve: str
    """Datatype name of the KServe v2 protocol; "" where a value can not travel (settings)."""
    numpy_name: str
    """`object` for text kinds; bf16 comes from ml_dtypes."""
    itemsize: int
    """Bytes an item; 0 where items have no fixed size."""
    kind: Kind

    @property
    def numeric(self) -> bool:
        return self.kind in ("bool", "uint", "int", "float")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype of arrays of this dtype. Imports ml_dtypes for bf16."""
        import numpy as np

        if self.name == "bf16":
            import ml_dtypes

            found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return found
        return np.dtype(self.numpy_name)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str | tuple[object, ...]:
        return (_by_name, (self.name,))


def _by_name(name: str) -> DType:
    return DTYPES[name]


DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        DType("bool", "BOOL", "bool", 1, "bool"),
        DType("u8", "UINT8", "uint8", 1, "uint"),
        DType("u16", "UINT16", "uint16", 2, "uint"),
        DType("u32", "UINT32", "uint32", 4, "uint"),
        DType("u64", "UINT64", "uint64", 8, "uint"),
        DType("i8", "INT8", "int8", 1, "int"),
        DType("i16", "INT16", "int16", 2, "int"),
        DType("i32", "INT32", "int32", 4, "int"),
        DType("i64", "INT64", "int64", 8, "int"),
        DType("f16", "FP16", "float16", 2, "float"),
        DType("bf16", "BF16", "bfloat16", 2, "float"),
        DType("f32", "FP32", "float32", 4, "float"),
        DType("f64", "FP64", "float64", 8, "float"),
        DType("string", "BYTES", "object", 0, "text"),
        DType("bytes", "BYTES", "object", 0, "text"),
        DType("json", "BYTES", "object", 0, "text"),
        DType("percent", "", "object", 0, "setting"),
        DType("duration", "", "object", 0, "setting"),
        DType("size", "", "object", 0, "setting"),
    )
}
