"""Types to text."""

from __future__ import annotations

from pipeline_dsl import syntax


def type_text(type_: syntax.TypeExpr) -> str:
    """`stream f32[*, ~L]?`"""
    stream = "stream " if type_.stream else ""
    shape = f"[{', '.join(map(_dim, type_.dims))}]" if type_.dims else ""
    return f"{stream}{type_.name}{shape}{'?' if type_.optional else ''}"


def _dim(dim: syntax.DimExpr) -> str:
    match dim:
        case syntax.RowsDim():
            return "*"
        case syntax.AnyDim():
            return "?"
        case syntax.RestDims():
            return "..."
        case syntax.RaggedDim(size=size):
            return f"~{_size(size)}"
        case syntax.SizedDim(size=size):
            return _size(size)


def _size(size: syntax.DimSize, level: int = 0) -> str:
    match size:
        case syntax.DimInt(value=value):
            return str(value)
        case syntax.DimVar(name=name):
            return name
        case syntax.DimOp(op=op, left=left, right=right):
            own = 1 if op in "+-" else 2
            text = f"{_size(left, own)}{op}{_size(right, own + 1)}"
            return f"({text})" if own < level else text
