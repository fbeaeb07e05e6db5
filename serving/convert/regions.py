"""Tensors that lie in shared memory: `shared_memory_region`, `shared_memory_offset`, `shared_memory_byte_size`."""

from __future__ import annotations

from collections.abc import Sequence

from executor.errors import InvalidArgument
from serving.shared_memory import Lease
from serving.tensors import Parameters, TensorIn, TensorOut, Wanted

from .datatypes import raw_bytes
from .items import pack

REGION = "shared_memory_region"
OFFSET = "shared_memory_offset"
SIZE = "shared_memory_byte_size"


def read_regions(tensor: TensorIn, lease: Lease | None) -> TensorIn:
    """The tensor with its bytes from the region it names; itself if it names none."""
    if REGION not in tensor.parameters or lease is None:
        return tensor
    place = f"input `{tensor.name}`"
    if tensor.data is not None:
        raise InvalidArgument(f"{place} has data and a region of shared memory")
    region, offset, size = _place(tensor.parameters, place)
    view = lease.view(region, offset, size, place)
    return tensor._replace(data=view.toreadonly(), parameters={})


def fill(outputs: Sequence[TensorOut], wanted: Sequence[Wanted], lease: Lease) -> list[TensorOut]:
    """Writes outputs to the regions that were named for them; the others stay as they are."""
    places = {name: given for name, given in wanted if REGION in given}
    return [_fill(t, places[t.name], lease) if t.name in places else t for t in outputs]


def _fill(tensor: TensorOut, given: Parameters, lease: Lease) -> TensorOut:
    place = f"output `{tensor.name}`"
    region, offset, size = _place(given, place)
    data = pack(tensor.data) if isinstance(tensor.data, list) else raw_bytes(tensor.data)
    if len(data) > size:
        raise InvalidArgument(f"{place} takes {len(data)} bytes, {SIZE} gives it {size}")
    view = lease.view(region, offset, size, place)
    view[: len(data)] = data
    return tensor._replace(data=None, parameters={REGION: region, OFFSET: offset, SIZE: len(data)})


def _place(given: Parameters, place: str) -> tuple[str, int, int]:
    region, offset, size = given[REGION], given.get(OFFSET, 0), given.get(SIZE)
    if not isinstance(region, str):
        raise InvalidArgument(f"{place}: parameter `{REGION}` takes a name")
    if type(offset) is not int or offset < 0:
        raise InvalidArgument(f"{place}: parameter `{OFFSET}` takes a whole number from 0, found {offset!r}")
    if type(size) is not int or size < 0:
        raise InvalidArgument(f"{place}: parameter `{SIZE}` takes a whole number from 0, found {size!r}")
    return region, offset, size
