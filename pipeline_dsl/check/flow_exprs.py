"""Expressions in a pipeline's body: names, calls, members, and scalar operations.

Takes a tree, gives what it stands for; None after reporting. Operations on known values are folded, others become
an `ir.Apply` that the caller settles into a node. Names of the body come first, then those of the module.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_dsl import syntax
from pipeline_dsl.errors.calls import NoMembers, NoSuchArgument, TensorOperand, UnknownOutput, WrongCount
from pipeline_dsl.errors.control import ShadowVariable
from pipeline_dsl.errors.flow import NotExecutable, UsedBeforeDefinition, UsedOutsideArm
from pipeline_dsl.errors.names import NotComputable, UnknownName, WrongKind
from pipeline_dsl.operations import (
    DTYPE_ARGUMENT,
    FUNCTIONS,
    OPERATIONS,
    Typed,
    scalar,
)
from pipeline_dsl.source import Span

from . import flow_streams
from .arguments import Given
from .body import Body, constant
from .flow_calls import Site, call_pipeline, call_stage, single
from .flow_operations import applied
from .lookup import kind_of, member
from .regions import Missing, Outcome, Results, Value
from .scope import Binding, ErrorBinding, ModuleBinding, PipelineBinding, StageBinding, ValueBinding
from .values import evaluate

AT_COMPILE_TIME = frozenset({"env", "lines"})

DEEPEST = 50
"""Operations in one `ir.Apply`, one inside the other; longer sums are cut into several nodes."""


def outcome_of(body: Body, expr: syntax.Expr, name: str | None = None) -> Outcome:
    """What an expression stands for. name: of the node, if the expression is a call (`x = f(y)`)."""
    match expr:
        case syntax.Name():
            return _name(body, expr)
        case syntax.Call():
            return _call(body, expr, name)
        case syntax.Member():
            return _member(body, expr, name)
        case syntax.Literal():
            return _compile_time(body, expr)
        case syntax.Unary(op=op, operand=operand):
            return _operation(body, "neg" if op == "-" else op, [operand], expr.span)
        case syntax.Binary():
            return _binary(body, expr)
        case syntax.ListExpr(items=items):
            return _operation(body, "list", items, expr.span)
        case syntax.ObjectExpr(items=items):
            return _object(body, items, expr.span)
        case syntax.Index():
            return _index(body, expr)
        case syntax.Versioned(name=stage):
            text = f"call it: `{stage}@{expr.version}(..)`"
            body.report(WrongKind(expr.span, stage, "a version of a stage", "a value", help=text))
            return None


def value_of(body: Body, expr: syntax.Expr) -> Value | None:
    """What an expression stands for, as one value."""
    return single(body, outcome_of(body, expr), expr.span)


# ---- names


def _name(body: Body, expr: syntax.Name) -> Outcome:
    outcome = body.region.use(expr.text)
    if not isinstance(outcome, Missing):
        return outcome
    found = None if body.region.defined_later(expr.text) else body.scope.use(expr.text)
    if found is None:
        _unknown(body, expr)
        return None
    return _value(body, found, expr.span, expr.text)


def _value(body: Body, found: Binding, span: Span, text: str) -> Value | None:
    if isinstance(found, ValueBinding):
        return constant(found.typed, span)
    if not isinstance(found, ErrorBinding):
        body.report(WrongKind(span, text, kind_of(found), "a value", _declared(found), _instead(found, text, body)))
    body.failed = True
    return None


def _instead(found: Binding, text: str, body: Body) -> str:
    """What to do with a name that is no value."""
    if isinstance(found, StageBinding | PipelineBinding):
        return f"call it: `{text}(..)`"
    if isinstance(found, ModuleBinding) and body.scope.lookup(text) is not found:
        return "what a module imports is reached by importing it here too"
    return ""


def _declared(found: Binding) -> Span:
    decl = found.decl
    return decl.span if isinstance(decl, syntax.FromImport) else decl.name.span


def _unknown(body: Body, expr: syntax.Name) -> None:
    later, inner = body.region.defined_later(expr.text), body.region.inside_an_arm(expr.text)
    if later is not None:
        body.report(UsedBeforeDefinition(expr.span, expr.text, later))
    elif inner is not None:
        mistake = ShadowVariable if inner.shadow else UsedOutsideArm
        body.report(mistake(expr.span, expr.text, inner.span))
    else:
        names = () if body.sink.crowded else (*body.region.visible, *body.scope.visible_names())
        body.report(UnknownName(expr.span, expr.text, names))


def _member(body: Body, expr: syntax.Member, name: str | None) -> Outcome:
    root = expr.value
    if isinstance(root, syntax.Name) and body.region.find(root.text) is None:
        found = body.scope.lookup(root.text)
        if isinstance(found, ModuleBinding) and body.region.defined_later(root.text) is None:
            inner = _of_module(body, (_ident(root), expr.name))
            return None if inner is None else _value(body, inner, expr.span, expr.name.text)
    outcome = outcome_of(body, root, name)
    if isinstance(outcome, Results):
        return _output(body, outcome, expr)
    if outcome is not None:
        body.report(NoMembers(expr.name.span, outcome.shown, str(outcome.type), expr.name.text))
    return None


def _output(body: Body, results: Results, expr: syntax.Member) -> Value | None:
    for port, value in results.values:
        if port == expr.name.text:
            return value.named(f"{results.name}.{port}" if results.name else "", value.span)
    body.report(UnknownOutput(expr.name.span, results.shown, expr.name.text, results.ports))
    return None


def _of_module(body: Body, parts: tuple[syntax.Ident, ...]) -> Binding | None:
    found = member(parts, body.scope, body.sink)
    body.failed = body.failed or found is None
    return found


def _ident(name: syntax.Name) -> syntax.Ident:
    return syntax.Ident(name.text, span=name.span)


# ---- calls


def _call(body: Body, expr: syntax.Call, name: str | None) -> Outcome:
    callee = expr.callee
    if isinstance(callee, syntax.Name):
        found = body.scope.use(callee.text)
        if found is None:
            return _builtin(body, expr, callee, name)
        return _called(body, expr, found, callee.text, name)
    if isinstance(callee, syntax.Versioned):
        found = body.scope.use(callee.name)
        if found is None:
            body.report(UnknownName(callee.span, callee.name, tuple(body.scope.visible_names()), "stage"))
            _rest(body, expr)
            return None
        return _called(body, expr, found, callee.name, name, callee.version)
    if isinstance(callee, syntax.Member) and isinstance(callee.value, syntax.Name):
        found = _of_module(body, (_ident(callee.value), callee.name))
        if found is not None:
            return _called(body, expr, found, callee.name.text, name)
        _rest(body, expr)
        return None
    if not isinstance(callee, syntax.Member) or outcome_of(body, callee.value) is not None:
        body.report(NotComputable(callee.span, "this can not be called", "a call names a stage or a pipeline"))
    _rest(body, expr)
    return None


def _called(
    body: Body, expr: syntax.Call, found: Binding, text: str, name: str | None, version: int | str | None = None
) -> Outcome:
    site = Site(expr.span, expr.callee.span, _given(body, expr.args), _given(body, expr.options), name)
    if isinstance(found, StageBinding):
        return call_stage(body, found, site, version, expr.callee.span)
    if isinstance(found, PipelineBinding) and version is None:
        return call_pipeline(body, found, site)
    if not isinstance(found, ErrorBinding):
        wanted = "a stage or a pipeline" if version is None else "a stage, which has versions"
        body.report(WrongKind(expr.callee.span, text, kind_of(found), wanted, _declared(found)))
    body.failed = True
    return None


def _given(body: Body, args: Sequence[syntax.Argument]) -> list[Given]:
    return [Given(a, outcome_of(body, a.value)) for a in args]


def _rest(body: Body, expr: syntax.Call) -> None:
    """The callee is wrong; its arguments may be wrong as well, and their names are used."""
    _given(body, expr.args)


# ---- built-in functions


def _builtin(body: Body, expr: syntax.Call, callee: syntax.Name, node: str | None) -> Outcome:
    name = callee.text
    if name in flow_streams.NAMES:
        return _stream_function(body, expr, name, node)
    if name in FUNCTIONS:
        return _function(body, expr, name)
    if name in AT_COMPILE_TIME:
        return _compile_time(body, expr)
    if (variable := body.region.find(name)) is not None:
        variable.used = True
        body.report(WrongKind(callee.span, name, "a variable", "a stage or a pipeline", variable.span))
    else:
        known = () if body.sink.crowded else (*body.scope.visible_names(), *FUNCTIONS, *flow_streams.NAMES)
        body.report(UnknownName(callee.span, name, known, "stage, pipeline or function"))
    _rest(body, expr)
    return None


def _stream_function(body: Body, expr: syntax.Call, function: str, node: str | None) -> Value | None:
    _no_options(body, expr)
    named = next((arg for arg in expr.args if arg.name is not None), None)
    values = [value_of(body, arg.value) for arg in expr.args]
    if named is not None and named.name is not None:
        body.report(NoSuchArgument(named.name.span, function, f"`{function}` takes its arguments in order"))
        return None
    use = flow_streams.Use(function, values, [arg.value.span for arg in expr.args], expr.span, node)
    return flow_streams.built_in(body, use)


def _no_options(body: Body, expr: syntax.Call) -> None:
    if expr.options:
        where = expr.options[0].span.to(expr.options[-1].span)
        body.report(NotExecutable(where, "`with` on a built-in", "it is for calls of stages"))


def _function(body: Body, expr: syntax.Call, name: str) -> Value | None:
    _no_options(body, expr)
    values = [_function_argument(body, name, at, arg) for at, arg in enumerate(expr.args)]
    spans = [arg.value.span for arg in expr.args]
    if name != "format":
        for arg in expr.args:
            if arg.name is not None:
                body.report(NoSuchArgument(arg.name.span, name, OPERATIONS[name].doc))
                return None
        return applied(body, name, values, spans, expr.span)
    unnamed = next((arg for arg in expr.args[1:] if arg.name is None), None)
    if unnamed is not None:
        body.report(WrongCount(unnamed.span, "`format` takes its arguments by name", OPERATIONS[name].doc))
        return None
    names = Typed(scalar("json"), [arg.name.text for arg in expr.args if arg.name])
    return applied(body, name, [*values, constant(names, expr.span)], spans, expr.span)


def _function_argument(body: Body, name: str, at: int, arg: syntax.Argument) -> Value | None:
    """An operand; the name of a dtype, as in `cast(x, f32)`, is a string."""
    if DTYPE_ARGUMENT.get(name) == at and isinstance(arg.value, syntax.Name):
        return constant(Typed(scalar("string"), arg.value.text), arg.value.span)
    return value_of(body, arg.value)


# ---- operations


def _operation(body: Body, op: str, exprs: Sequence[syntax.Expr], span: Span) -> Value | None:
    return applied(body, op, [value_of(body, e) for e in exprs], [e.span for e in exprs], span)


def _binary(body: Body, expr: syntax.Binary) -> Value | None:
    """Left sides are followed in a loop: a long sum is a deep tree."""
    spine = [expr]
    while isinstance(left := spine[-1].left, syntax.Binary):
        spine.append(left)
    total = value_of(body, spine[-1].left)
    for depth, node in enumerate(reversed(spine), 1):
        right = value_of(body, node.right)
        spans = [node.left.span, node.right.span]
        total = applied(body, node.op, [total, right], spans, node.span)
        if total is not None and depth % DEEPEST == 0:
            total = body.settled(total)
    return total


def _object(body: Body, items: Sequence[tuple[str, syntax.Expr]], span: Span) -> Value | None:
    if not items:
        return constant(Typed(scalar("json"), {}), span)
    values = [value_of(body, value) for _, value in items]
    names = constant(Typed(scalar("json"), [key for key, _ in items]), span)
    return applied(body, "object", [*values, names], [value.span for _, value in items], span)


def _index(body: Body, expr: syntax.Index) -> Value | None:
    value = value_of(body, expr.value)
    first = expr.subscripts[0]
    if isinstance(first, syntax.Slice) and len(expr.subscripts) == 1:
        ends = [_end(body, end, expr.span) for end in (first.start, first.stop)]
        return applied(body, "slice", [value, *ends], [expr.value.span] * 3, expr.span)
    sliced = next((s for s in expr.subscripts if isinstance(s, syntax.Slice)), None)
    if sliced is not None:
        body.report(TensorOperand(sliced.span, "a slice stands alone", "slice first, then index: `x[a:b][i]`"))
        return None
    subscripts = [s for s in expr.subscripts if not isinstance(s, syntax.Slice)]
    values = [value, *(value_of(body, s) for s in subscripts)]
    return applied(body, "index", values, [expr.value.span, *(s.span for s in subscripts)], expr.span)


def _end(body: Body, expr: syntax.Expr | None, span: Span) -> Value | None:
    return constant(Typed(scalar("i64"), None), span) if expr is None else value_of(body, expr)


def _compile_time(body: Body, expr: syntax.Expr) -> Value | None:
    typed = evaluate(expr, body.scope, body.sink)
    body.failed = body.failed or typed is None
    return None if typed is None else constant(typed, expr.span)
