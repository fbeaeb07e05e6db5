"""`try`: a body, and a fallback for its failure: E0501, E0507, E0508."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.control import LateInTry
from pipeline_dsl.errors.flow import SecondAssignment
from pipeline_dsl.errors.settings import NoEffect
from pipeline_dsl.literals import duration
from pipeline_dsl.operations import scalar
from pipeline_dsl.settings import TRY
from pipeline_dsl.types import TensorType

from .construct import Arm, Construct
from .construct_options import Options, options_of
from .once import check_once
from .regions import Outcome


def try_(construct: Construct, control: syntax.Try) -> list[Outcome]:
    """Types body and fallback, which agree."""
    options = options_of(construct.body, "try", control.options, TRY)
    body = construct.arm("body", control.body)
    fallback = _fallback(construct, control)
    _limits(construct, options, body)
    kinds = construct.joined([body, fallback])
    _first(construct, options, kinds)
    if kinds is not None and not construct.body.failed:
        construct.body.nodes.append(
            ir.Try(
                id=construct.node,
                span=construct.span,
                results=tuple(zip(construct.ports, kinds, strict=True)),
                body=body.region(kinds),
                fallback=fallback.region(kinds),
                timeout_ns=options["timeout"],
                retries=options["retries"],
                hedge_ns=options["hedge"],
                first_ns=options["first"],
            )
        )
    return construct.outcomes(kinds)


def _first(construct: Construct, options: Options, kinds: Sequence[TensorType] | None) -> None:
    """W0601: what `first` waits for."""
    if options["first"] is not None and kinds is not None and not any(kind.stream for kind in kinds):
        why = "the body yields no stream"
        construct.body.report(NoEffect(options.spans["first"], "first", why, "use `timeout`"))


def _fallback(construct: Construct, control: syntax.Try) -> Arm:
    body = construct.enter("fallback", control.fallback)
    given: list[ir.Given | None] = []
    if control.error is not None:
        first = body.region.find(control.error.text)
        if first is not None:
            body.report(SecondAssignment(control.error.span, control.error.text, first.span))
        given = [construct.give(body, control.error, "error", scalar("json"))]
    return construct.arm("fallback", control.fallback, body, given)


def _limits(construct: Construct, options: Options, body: Arm) -> None:
    """What the options mean for the calls of the body: E0507, E0508, W0601."""
    for name in ("retries", "hedge"):
        if options[name]:
            span = options.spans[name]
            advice = f"remove `{name}`, or call the stage outside of `try`"
            check_once(body.body, f"`{span.text or name}`", span, advice)
    construct.body.failed = construct.body.failed or body.body.failed
    timeout: int | None = options["timeout"]
    if timeout is None:
        return
    if options["hedge"] is not None and options["hedge"] >= timeout:
        why = f"the `try` ends after {duration(timeout)}"
        construct.body.report(NoEffect(options.spans["hedge"], "hedge", why, "lower it"))
    for node in ir.walk(body.body.nodes):
        inner = node.timeout_ns if isinstance(node, ir.Call | ir.Try) else None
        if inner is not None and inner > timeout and node.span is not None:
            whole = options.spans["timeout"]
            mistake = LateInTry(node.span, node.id, duration(inner), duration(timeout), whole)
            construct.body.report(mistake)
