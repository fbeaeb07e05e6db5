"""What a client of the old file relies on and the new one does not give: pure, from two sets of endpoints.

Inputs may become wider (a number of items that was fixed may be any, `bytes` for `string`), outputs narrower. What is
compared is what travels: `*` and a size name are the same shape on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from . import ir
from .errors.contract import Breaks
from .source import Span
from .types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

_TEXT = ("json", "string", "bytes")
"""Each takes what those before it take."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A public pipeline as clients see it."""

    name: str
    signature: ir.Signature
    span: Span
    sequence: bool = False
    """Requests need a sequence id."""


def breaking(old: Mapping[str, Endpoint], new: Mapping[str, Endpoint], file: Span) -> list[Breaks]:
    """Everything that breaks. `file`: the new file's place for what is not in it any more."""
    found: list[Breaks] = []
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            text = "it is gone, or not public any more"
            found.append(Breaks(file, name, text, before.span, "it was here"))
            continue
        if after.sequence and not before.sequence:
            found.append(Breaks(after.span, name, "requests need a sequence id now", before.span, "they did not"))
        found += _inputs(before, after)
        found += _outputs(before, after)
    return found


# ---- sides


def _inputs(before: Endpoint, after: Endpoint) -> Iterator[Breaks]:
    old = {p.name: p for p in before.signature.inputs}
    new = {p.name: p for p in after.signature.inputs}
    for name, port in old.items():
        if name not in new:
            text = f"input `{name}` is gone: requests that bring it are refused"
            yield Breaks(after.span, after.name, text, port.span, "it was here")
            continue
        yield from _port(after, "input", port, new[name], narrower=False)
        if _may_be_left_out(port) and not _may_be_left_out(new[name]):
            text = f"input `{name}` must be given now"
            hint = "keep its default, or `?`"
            yield Breaks(_place(new[name], after), after.name, text, port.span, "it could be left out", hint)
    for name, port in new.items():
        if name not in old and not _may_be_left_out(port):
            text = f"input `{name}` is new, and requests must bring it"
            yield Breaks(
                _place(port, after), after.name, text, before.span, "there was none", "give it a default, or `?`"
            )
    yield from _equal_sizes(before, after)
    yield from _bounds(before, after)


def _outputs(before: Endpoint, after: Endpoint) -> Iterator[Breaks]:
    new = {p.name: p for p in after.signature.outputs}
    for port in before.signature.outputs:
        if port.name not in new:
            text = f"output `{port.name}` is gone"
            yield Breaks(after.span, after.name, text, port.span, "it was here")
            continue
        yield from _port(after, "output", port, new[port.name], narrower=True)
        if new[port.name].type.optional and not port.type.optional:
            text = f"output `{port.name}` may be absent now"
            yield Breaks(_place(new[port.name], after), after.name, text, port.span, "it was always there")


def _may_be_left_out(port: ir.Port) -> bool:
    return port.has_default or port.type.optional


def _place(port: ir.Port, endpoint: Endpoint) -> Span:
    return port.span or endpoint.span


# ---- types


def _port(after: Endpoint, side: str, old: ir.Port, new: ir.Port, narrower: bool) -> Iterator[Breaks]:
    """`narrower`: the new type must be within the old one; otherwise it must hold it."""
    text = _kept(old.type, new.type) if narrower else _kept(new.type, old.type)
    if text:
        shown = f"{side} `{old.name}` was {old.type} and is {new.type}: {text}"
        yield Breaks(_place(new, after), after.name, shown, old.span, f"it was {old.type}")


def _kept(wide: TensorType, narrow: TensorType) -> str:
    """Why a value of the narrow type is not always one of the wide type; "" if it is."""
    if wide.stream != narrow.stream:
        return "a stream is read another way than a single answer"
    if not _holds(wide.dtype.name, narrow.dtype.name):
        return "the dtype is another"
    if wide.has_rest:
        return ""
    if narrow.has_rest or len(wide.dims) != len(narrow.dims):
        return "the number of dims is another"
    return next((text for w, n in zip(wide.dims, narrow.dims, strict=True) if (text := _dim(w, n))), "")


def _holds(wide: str, narrow: str) -> bool:
    if wide in _TEXT and narrow in _TEXT:
        return _TEXT.index(wide) >= _TEXT.index(narrow)
    return wide == narrow


def _dim(wide: Dim, narrow: Dim) -> str:
    if isinstance(wide, Ragged) != isinstance(narrow, Ragged):
        return "lengths of rows are sent beside it in one of the two"
    given, wanted = _number(narrow), _number(wide)
    if wanted is None or given == wanted:
        return ""
    return f"{wanted} items are wanted, {'any number' if given is None else given} come"


def _number(dim: Dim) -> int | None:
    return dim.size.value if isinstance(dim, Sized | Ragged) else None


# ---- sizes of inputs


def _equal_sizes(before: Endpoint, after: Endpoint) -> Iterator[Breaks]:
    """Sizes of inputs that must be equal now and did not have to be."""
    old = dict(_sizes(before.signature.inputs))
    new = dict(_sizes(after.signature.inputs))
    told: set[str] = set()
    for one, other in combinations([place for place in new if place in old], 2):
        if new[one] == new[other] and old[one] != old[other] and other[0] not in told:
            told.add(other[0])
            port = next(p for p in after.signature.inputs if p.name == other[0])
            text = f"`{new[one]}` of inputs `{one[0]}` and `{other[0]}` must be one size now"
            yield Breaks(
                _place(port, after), after.name, text, before.span, f"they were `{old[one]}` and `{old[other]}`"
            )


def _sizes(ports: Sequence[ir.Port]) -> Iterator[tuple[tuple[str, int], str]]:
    """What each open dim is called, by port and axis; rows are one size for all ports."""
    for port in ports:
        for axis, dim in enumerate(port.type.dims):
            if isinstance(dim, Rows):
                yield (port.name, axis), "*"
            elif isinstance(dim, Sized) and dim.size.value is None:
                yield (port.name, axis), str(dim.size)
            elif isinstance(dim, Unknown | Rest):
                yield (port.name, axis), f"? {port.name} {axis}"


def _bounds(before: Endpoint, after: Endpoint) -> Iterator[Breaks]:
    """`where N <= 100` that was not there, or allowed more."""
    for port in after.signature.inputs:
        known = next((p for p in before.signature.inputs if p.name == port.name), None)
        if known is None or len(known.type.dims) != len(port.type.dims):
            continue
        for old_dim, new_dim in zip(known.type.dims, port.type.dims, strict=True):
            limit, was = _upper(new_dim, after.signature), _upper(old_dim, before.signature)
            if limit is not None and _number(new_dim) is None and (was is None or was > limit):
                text = f"`{new_dim}` of input `{port.name}` may be {limit} at most"
                shown = "it had no bound" if was is None else f"it could be {was}"
                yield Breaks(_place(port, after), after.name, text, known.span, shown)
                break


def _upper(dim: Dim, signature: ir.Signature) -> int | None:
    """The largest size that a dim may have; None for any."""
    if not isinstance(dim, Sized | Ragged):
        return None
    limits = [] if dim.size.value is None else [dim.size.value]
    for bound in signature.bounds:
        left, right = (bound.left, bound.right) if bound.op in ("<", "<=", "==") else (bound.right, bound.left)
        if left == dim.size and right.value is not None:
            limits.append(right.value - (bound.op in ("<", ">")))
    return min(limits, default=None)
