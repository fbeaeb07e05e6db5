"""`map`: items along the first dim of its sources (E0303, E0307, E0309, E0504, W0603), results with that dim in front.

An item of `f32[N, ~W]` is `f32[W]`, a size of its own in each item; a size that items have of their own leaves the
body as a ragged one again. What the body reads from outside is the same for all items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.control import AbsentItem, MoreItems, NotAnItem, NothingToMap, UnboundedMap
from pipeline_dsl.errors.flow import SecondAssignment
from pipeline_dsl.errors.streams import StreamsJoined
from pipeline_dsl.errors.types import Edge, OperandMayBeAbsent, Unchecked, UnprovenSizes
from pipeline_dsl.operations import scalar
from pipeline_dsl.settings import MAP
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rest, Sized, TensorType, Unknown

from .body import Body
from .construct import Arm, Construct
from .construct_options import Options, options_of
from .flow_exprs import value_of
from .regions import Outcome, Value
from .yields import Yielded

OK = "ok"


@dataclass(frozen=True, slots=True)
class _Source:
    """What an item is taken from."""

    written: syntax.Iter
    value: Value | None
    """None after its mistake has been told."""

    @property
    def dim(self) -> Dim | None:
        return self.value.type.dims[0] if self.value is not None else None


def map_(construct: Construct, control: syntax.Map) -> list[Outcome]:
    """Types the body for one item, then the results of all."""
    outer = construct.body
    options = options_of(outer, "map", control.options, MAP)
    sources = [_Source(one, _source(outer, one)) for one in control.iters]
    streams = [s for s in sources if s.value is not None and s.value.type.stream]
    if streams:
        return _over_stream(construct, control, sources, streams, options)
    dim = _items(outer, sources)
    _bounds(construct, options, sources, dim)
    body = construct.enter("body", control.body, items=True)
    ragged = _RaggedItems(body, construct)
    given = [_given(construct, body, source, ragged) for source in sources]
    marks = options["on_error"] == "mark"
    arm = construct.arm("body", control.body, body, given, OK if marks else "")
    kinds = _results(construct, arm, dim, ragged, options)
    operands = [outer.operand(s.value) for s in sources if s.value is not None]
    if kinds is not None and len(operands) == len(sources) and None not in given:
        outer.nodes.append(_node(construct, arm, operands, kinds, options))
    outer.fresh |= body.fresh
    return construct.outcomes(kinds)


def _over_stream(
    construct: Construct,
    control: syntax.Map,
    sources: Sequence[_Source],
    streams: Sequence[_Source],
    options: Options,
) -> list[Outcome]:
    """Types the body for one element of a stream; results are streams."""
    outer = construct.body
    if len(sources) > 1:
        made = tuple((s.value.name or str(s.written.name), s.value.span) for s in streams if s.value is not None)
        outer.report(StreamsJoined(sources[1].written.source.span, "`map`", made))
    body = construct.enter("body", control.body, items=True)
    ragged = _RaggedItems(body, construct)
    given = [_given(construct, body, source, ragged) for source in sources]
    marks = options["on_error"] == "mark"
    arm = construct.arm("body", control.body, body, given, OK if marks else "")
    operands = [outer.operand(s.value) for s in sources if s.value is not None]
    if len(sources) > 1 or arm.yields is None or arm.body.failed or None in given:
        return construct.outcomes(None)
    kinds = [_element(outer, one) for one in arm.yields]
    if None in kinds:
        return construct.outcomes(None)
    results = [replace(kind, stream=True) for kind in kinds if kind is not None]
    results += [replace(scalar("bool"), stream=True)] if marks else []
    outer.nodes.append(replace(_node(construct, arm, operands, results, options), over_stream=True))
    outer.fresh |= body.fresh
    return construct.outcomes(results)


def _element(outer: Body, yielded: Yielded) -> TensorType | None:
    """The type of one element of a result; None after reporting."""
    value, span = yielded.value, yielded.span
    if value is None:
        return None
    kind = value.type
    if kind.optional or value.typed.value is None:
        outer.report(AbsentItem(span, value.shown, str(replace(kind, optional=True)), value.span))
        return None
    if kind.stream or kind.has_rows:
        outer.report(NotAnItem(span, f"{value.shown} ({kind})", *(_stays(kind) or ("", ""))))
        return None
    return kind


def _node(
    construct: Construct, arm: Arm, sources: Sequence[ir.Operand], kinds: Sequence[TensorType], options: Options
) -> ir.Map:
    items = [one.value.type for one in arm.yields or () if one.value is not None]
    return ir.Map(
        id=construct.node,
        span=construct.span,
        results=tuple(zip(construct.ports, kinds, strict=True)),
        sources=tuple(sources),
        body=arm.region(items),
        maximum=options["max"],
        order=options["order"],
        on_error=options["on_error"],
        in_flight=options["in_flight"],
    )


# ---- sources


def _source(body: Body, written: syntax.Iter) -> Value | None:
    """The value of a source; None after E0309 or E0504."""
    value = value_of(body, written.source)
    if value is None:
        body.failed = True
        return None
    kind, span = value.type, written.source.span
    if kind.stream and not kind.optional:
        return body.settled(value)
    if not kind.dims or isinstance(kind.dims[0], Rest):
        body.report(NothingToMap(span, value.shown, str(kind)))
    elif kind.optional:
        advice = "ask first: `if present(x) { .. }`, or give a value for that case: `x ?? ..`"
        body.report(OperandMayBeAbsent(span, f"{value.shown} may be absent ({kind}), and `map` needs it", advice))
    else:
        return body.settled(value)
    return None


def _items(body: Body, sources: Sequence[_Source]) -> Dim | None:
    """The dim that all sources have in front; None after E0303, or if one of them has mistakes."""
    known = [s for s in sources if s.value is not None]
    if not known:
        return None
    first = next((s for s in known if not isinstance(s.dim, Unknown)), known[0])
    good = len(known) == len(sources)
    for source in known:
        if source is first or source.dim == first.dim:
            continue
        edge = _edge(source, first)
        if isinstance(source.dim, Unknown):
            body.report(Unchecked(edge))
        else:
            name = f"`{first.written.name}`"
            body.report(UnprovenSizes(edge, 1, str(first.dim), str(source.dim), first.written.source.span, name))
            good = False
    return first.dim if good else None


def _edge(source: _Source, first: _Source) -> Edge:
    assert source.value is not None, "only known sources are compared"
    value, needs = source.value, f"item `{source.written.name}`"
    expected = f"as many items as `{first.written.name}`"
    return Edge(source.written.source.span, value.shown, str(value.type), needs, expected, value.span)


def _bounds(construct: Construct, options: Options, sources: Sequence[_Source], dim: Dim | None) -> None:
    """E0307 and W0603: how many items there may be, and how many there are to be at most."""
    if dim is None:
        return
    span = sources[0].written.source.span
    most = _most(construct.body, dim)
    maximum: int | None = options["max"]
    if maximum is None and most is None:
        construct.body.report(UnboundedMap(construct.span, str(dim)))
    elif maximum is not None and most is not None and most > maximum:
        construct.body.report(MoreItems(options.spans["max"], str(dim), most, maximum, span))


def _most(body: Body, dim: Dim) -> int | None:
    """The largest number that a first dim can be."""
    if not isinstance(dim, Sized):
        return None
    if dim.size.value is not None:
        return dim.size.value
    return body.shared.limits.get(dim.size.symbol) if dim.size.symbol is not None else None


# ---- items


class _RaggedItems:
    """Sizes that each item has of its own, since `~W` of the sources is one size per item."""

    def __init__(self, body: Body, construct: Construct) -> None:
        self.body, self.construct = body, construct
        self.back: dict[Symbol, Size] = {}
        self.inside: dict[Symbol, Size] = {}
        self.origin = ""

    def item(self, kind: TensorType) -> TensorType:
        """The type of an item of a source."""
        if kind.stream:
            return replace(kind, stream=False)
        dims = tuple(Sized(self._own(d.size)) if isinstance(d, Ragged) else d for d in kind.dims[1:])
        return kind.with_dims(dims)

    def _own(self, size: Size) -> Size:
        for symbol in sorted(size.symbols, key=str):
            if symbol not in self.inside:
                self.origin = self.origin or self.body.origin("an item", self.construct.span, self.construct.node)
                own = Symbol(symbol.name, self.origin)
                taken = {s.symbol for s in self.inside.values()}
                if own in taken:
                    own = Symbol(symbol.name, f"{self.origin}, {len(taken) + 1}")
                self.inside[symbol] = Size.of(own)
                self.back[own] = Size.of(symbol)
                self.body.fresh.add(own)
        return size.substitute(self.inside)


def _given(construct: Construct, body: Body, source: _Source, ragged: _RaggedItems) -> ir.Given | None:
    """An item under its name, which no outer name may have."""
    name = source.written.name
    first = body.region.find(name.text)
    if first is not None:
        body.report(SecondAssignment(name.span, name.text, first.span))
    kind = None if source.value is None or first is not None else ragged.item(source.value.type)
    return construct.give(body, name, "item", kind)


# ---- results


def _results(
    construct: Construct, arm: Arm, dim: Dim | None, ragged: _RaggedItems, options: Options
) -> list[TensorType] | None:
    """The types of the results; None after reporting, or if something has mistakes."""
    outer = construct.body
    if arm.yields is None or arm.body.failed or dim is None:
        return None
    kinds = [_result(outer, one, arm.body.fresh, dim, ragged) for one in arm.yields]
    good = [kind for kind in kinds if kind is not None]
    if len(good) < len(kinds):
        return None
    if options["on_error"] == "drop":
        lead = Sized(Size.of(_dropped(construct, dim)))
        good = [kind.with_dims((lead, *kind.dims[1:])) for kind in good]
    if options["on_error"] == "mark":
        good.append(scalar("bool").with_dims((dim,)))
    return good


def _result(outer: Body, yielded: Yielded, own: set[Symbol], dim: Dim, ragged: _RaggedItems) -> TensorType | None:
    """own: the sizes that each item has of its own."""
    value, span = yielded.value, yielded.span
    if value is None:
        return None
    kind = value.type
    if kind.optional or value.typed.value is None:
        outer.report(AbsentItem(span, value.shown, str(replace(kind, optional=True)), value.span))
        return None
    problem = _stays(kind)
    if problem is not None:
        outer.report(NotAnItem(span, f"{value.shown} ({kind})", *problem))
        return None
    dims = tuple(_back(d, own, ragged.back) for d in kind.dims)
    return kind.with_dims((dim, *dims))


def _stays(kind: TensorType) -> tuple[str, str] | None:
    """Why a value can not get one more dim in front, and what to do."""
    if kind.stream:
        return "it is a stream, and each item would have one", "`collect(..)` it in the body"
    if kind.has_rows:
        return "`*` is always the first dim", "yield a value of one item: call the stage on the item itself"
    if kind.is_ragged:
        return (
            "each item would have ragged sizes of its own, one ragged size inside another",
            "reduce the ragged dim in the body, or pad it to one size there",
        )
    if kind.has_rest:
        return "its dims are not known", "declare them where the value is made, instead of `...`"
    return None


def _back(dim: Dim, own: set[Symbol], back: dict[Symbol, Size]) -> Dim:
    """A size that each item has of its own is ragged outside."""
    if isinstance(dim, Sized) and dim.size.symbols & own:
        return Ragged(dim.size.substitute(back))
    return dim


def _dropped(construct: Construct, dim: Dim) -> Symbol:
    """The size that is left without the items that failed."""
    symbol = dim.size.symbol if isinstance(dim, Sized) else None
    name = symbol.name if symbol is not None else "N"
    body = construct.body
    found = Symbol(name, body.origin(construct.ports[0], construct.targets[0].span, construct.node))
    body.fresh.add(found)
    most = _most(body, dim)
    if most is not None:
        body.shared.limits[found] = most
    return found
