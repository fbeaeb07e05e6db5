"""`return`: each output of the pipeline by its name, checked against its declared type (E0205, E0206)."""

from __future__ import annotations

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.flow import (
    MissingOutputs,
    NoReturn,
    ReturnedTwice,
    ReturnNotLast,
    SecondReturn,
    UnknownReturn,
    UnnamedReturn,
)
from pipeline_dsl.source import Span

from .body import Body
from .fitting import fitted
from .flow_calls import single
from .flow_exprs import outcome_of


def return_(body: Body, statement: syntax.Return, first: syntax.Return) -> None:
    """Adds an output node for each port; only the first `return` counts, and nothing may follow it."""
    if statement is not first:
        body.report(SecondReturn(statement.span, first.span))
        return
    statements = body.binding.decl.body.statements
    if statements[-1] is not statement and not isinstance(statements[-1], syntax.Return):
        body.report(ReturnNotLast(statement.span, statements[-1].span))
    found, named = _by_name(body, statement)
    signature = body.binding.signature
    missing = tuple(p.name for p in signature.outputs if p.name not in found)
    if missing and named:
        declared = next(p for p in body.binding.decl.signature.outputs if p.name.text == missing[0])
        body.report(MissingOutputs(statement.span, body.binding.name, missing, declared.span))
    values = [(port, _output(body, port, found[port.name])) for port in signature.outputs if port.name in found]
    for port, operand in values:
        if operand is not None:
            node = f"{body.binding.name}.return.{port.name}"
            body.nodes.append(ir.Output(id=node, span=found[port.name].span, port=port, value=operand))


def no_return(body: Body) -> None:
    """A body without any `return`."""
    outputs = tuple(p.name for p in body.binding.signature.outputs)
    if outputs:
        body.report(NoReturn(body.binding.decl.name.span, body.binding.name, outputs))


def _by_name(body: Body, statement: syntax.Return) -> tuple[dict[str, syntax.Out], bool]:
    """What is returned by output; whether all of it has the name of an output."""
    outputs = tuple(p.name for p in body.binding.signature.outputs)
    given = {_name(out) for out in statement.outs}
    wanted = next((o for o in outputs if o not in given), "")
    found: dict[str, syntax.Out] = {}
    named = True
    for out in statement.outs:
        name = _name(out)
        if name is None:
            body.report(UnnamedReturn(out.span, outputs, wanted))
            named = False
        elif name not in outputs:
            body.report(UnknownReturn(out.span, body.binding.name, name, outputs, wanted))
            named = False
        elif name in found:
            body.report(ReturnedTwice(out.span, name, found[name].span))
        else:
            found[name] = out
            continue
        outcome_of(body, out.value)
    return found, named


def _name(out: syntax.Out) -> str | None:
    if out.name is not None:
        return out.name.text
    return out.value.text if isinstance(out.value, syntax.Name) else None


def _output(body: Body, port: ir.Port, out: syntax.Out) -> ir.Operand | None:
    name = port.name if port.name not in body.ids.taken else None
    value = single(body, outcome_of(body, out.value, name), out.value.span)
    if value is None:
        body.failed = True
        return None
    checked = fitted(body, value, port.type, f"output `{port.name}`", out.value.span, _declared(body, port))
    return None if checked is None else body.operand(checked, name)


def _declared(body: Body, port: ir.Port) -> Span:
    ports = body.binding.decl.signature.outputs
    return next(p.type.span for p in ports if p.name.text == port.name)
