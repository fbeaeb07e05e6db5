"""Rules of pipeline bodies and control flow."""

from __future__ import annotations

from pipeline_dsl import syntax

from .rules import Children, Group, after, first, ident, items, nodes, over, rule


@rule("body")
def _body(c: Children) -> syntax.Body:
    return syntax.Body(nodes(c), span=over(c))


@rule("assign")
def _assign(c: Children) -> syntax.Assign:
    return syntax.Assign(c[0].items, c[2], span=over(c))


@rule("target")
def _target(c: Children) -> syntax.Target:
    return syntax.Target(ident(c[0]), c[2] if len(c) > 1 else None, span=over(c))


@rule("return_")
def _return(c: Children) -> syntax.Return:
    return syntax.Return(c[1].items, span=over(c))


@rule("yield_")
def _yield(c: Children) -> syntax.Yield:
    return syntax.Yield(c[1].items, span=over(c))


@rule("named_out")
def _named_out(c: Children) -> syntax.Out:
    return syntax.Out(ident(c[0]), c[2], span=over(c))


@rule("plain_out")
def _plain_out(c: Children) -> syntax.Out:
    return syntax.Out(None, c[0], span=c[0].span)


@rule("if_")
def _if(c: Children) -> syntax.If:
    return syntax.If(c[1], c[2], c[3].items[0] if len(c) > 3 else None, span=over(c))


@rule("else_")
def _else(c: Children) -> Group:
    return Group((c[1],), over(c))


@rule("match_")
def _match(c: Children) -> syntax.Match:
    cases = tuple(x for x in c if isinstance(x, syntax.Case))
    return syntax.Match(c[1], cases, first(c, syntax.Body), span=over(c))


@rule("case")
def _case(c: Children) -> syntax.Case:
    return syntax.Case(nodes(c[:-1]), c[-1], span=over(c))


@rule("default")
def _default(c: Children) -> syntax.Body:
    return c[1]  # type: ignore[no-any-return]  # children have no static types


@rule("map_")
def _map(c: Children) -> syntax.Map:
    iters = tuple(x for x in c if isinstance(x, syntax.Iter))
    return syntax.Map(items(first(c, Group)), iters, c[-1], span=over(c))


@rule("iter")
def _iter(c: Children) -> syntax.Iter:
    return syntax.Iter(ident(c[0]), c[2], span=over(c))


@rule("route_")
def _route(c: Children) -> syntax.Route:
    arms = tuple(x for x in c if isinstance(x, syntax.RouteArm | syntax.ShadowArm))
    return syntax.Route(after(c, "BY"), arms, span=over(c))


@rule("route_arm")
def _route_arm(c: Children) -> syntax.RouteArm:
    return syntax.RouteArm(ident(c[1]), c[3], c[4], span=over(c))


@rule("shadow_arm")
def _shadow_arm(c: Children) -> syntax.ShadowArm:
    return syntax.ShadowArm(ident(c[1]), after(c, "SAMPLE"), c[-1], span=over(c))


@rule("try_")
def _try(c: Children) -> syntax.Try:
    body, fallback = (x for x in c if isinstance(x, syntax.Body))
    error = c[-2] if c[-2].type == "NAME" else None
    options = items(first(c, Group))
    return syntax.Try(options, body, ident(error) if error else None, fallback, span=over(c))
