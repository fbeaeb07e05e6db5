"""Types of the language as the protocol describes them: shapes with -1 where any size goes, platforms, batch sizes."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline_dsl.plan import PipelinePlan, Plan
from pipeline_dsl.types import Dim, Ragged, Sized, TensorType

from .convert.inputs import LENGTHS
from .deployment import Served, ServedStep

ANY = -1
LENGTHS_OF = LENGTHS


def wire_shape(declared: TensorType) -> tuple[int, ...]:
    """The shape on the wire: [1] for a single value, -1 for rows and for sizes that only requests know."""
    if not declared.dims:
        return (1,)
    return tuple(map(_size, declared.dims))


def ragged_dims(declared: TensorType) -> int:
    """How many dims have a size for each row."""
    return sum(isinstance(d, Ragged) for d in declared.dims)


def is_batched(types: Iterable[TensorType]) -> bool:
    """All tensors start with rows, so a client may put any number of them in one request."""
    found = list(types)
    return bool(found) and all(t.has_rows for t in found)


def row_limit(plan: Plan, pipeline: PipelinePlan) -> int:
    """Rows of one request that every stage takes at once; 0 where a port has no rows. More are split."""
    if not is_batched([*(p.type for p in pipeline.inputs), *(p.type for p in pipeline.outputs)]):
        return 0
    limits = [plan.stages[s.stage].batching.max_rows for s in pipeline.every_step if s.stage >= 0]
    return min([n for n in limits if n], default=1)


def platform(found: Served | ServedStep) -> str:
    """`ensemble` for a pipeline, as tools look for it; a backend's name for a step."""
    return "ensemble" if isinstance(found, Served) else found.stage.backend


def _size(dim: Dim) -> int:
    value = dim.size.value if isinstance(dim, Sized) else None
    return ANY if value is None else value
