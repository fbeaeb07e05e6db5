"""What constructs say of themselves in a picture: a headline, and a title for each panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline_dsl.expression_text import value_text
from pipeline_dsl.ir import Arm, Branch, Constant, Control, Given, Map, Ref, Region, Route, Try
from pipeline_dsl.literals import duration

_LONGEST = 16
"""Characters of a constant in a `yield`."""


def headline(node: Control) -> str:
    """`map (max = 100)`"""
    match node:
        case Map():
            return _with_options("map", _map_options(node))
        case Try():
            return _with_options("try", _try_options(node))
        case Route(key=key):
            return "route" if key is None else "route by key"
        case Branch():
            return "if" if _is_if(node) else "match"
    return ""


def panels(node: Control) -> Iterator[tuple[str, bool, Region]]:
    """Title, whether it is a shadow, and the region, in the order of the text."""
    match node:
        case Branch(arms=arms):
            for arm in arms:
                yield _arm_title(arm, _is_if(node)), False, arm.region
        case Route(arms=routed, shadows=shadows):
            for to in routed:
                yield f"{to.name} · {_percent(to.share)}", False, to.region
            for shadow in shadows:
                yield f"shadow {shadow.name} · {_percent(shadow.sample)}", True, shadow.region
        case Map(body=body, over_stream=over_stream):
            yield "for each element" if over_stream else "for each item", False, body
        case Try(body=body, fallback=fallback):
            yield "body", False, body
            yield "fallback", False, fallback


def entry(node: Given) -> str:
    """The name a region gives to what it is entered with."""
    return node.id.rpartition(".")[2]


def yielded(region: Region, called: Callable[[Ref], str]) -> str:
    """`yield`, with all of its values where some are known: those that flow in are told by their arrows."""
    if all(isinstance(operand, Ref) for operand in region.yields):
        return "yield"
    told = (_constant(operand) if isinstance(operand, Constant) else called(operand) for operand in region.yields)
    return f"yield {', '.join(told)}"


def _constant(operand: Constant) -> str:
    text = value_text(operand.value, operand.type)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _is_if(node: Branch) -> bool:
    return any(arm.values == (True,) for arm in node.arms[:1]) and len(node.arms) <= 2


def _arm_title(arm: Arm, is_if: bool) -> str:
    if arm.values is None:
        return "else"
    if is_if:
        return "then"
    return "case " + ", ".join(f'"{value}"' if isinstance(value, str) else str(value).lower() for value in arm.values)


def _map_options(node: Map) -> Iterator[str]:
    if node.maximum is not None:
        yield f"max = {node.maximum}"
    if node.order != "keep":
        yield f"order = {node.order}"
    if node.on_error != "fail":
        yield f"on_error = {node.on_error}"
    if node.in_flight is not None:
        yield f"in_flight = {node.in_flight}"


def _try_options(node: Try) -> Iterator[str]:
    if node.timeout_ns is not None:
        yield f"timeout = {duration(node.timeout_ns)}"
    if node.retries:
        yield f"retries = {node.retries}"
    if node.hedge_ns is not None:
        yield f"hedge = {duration(node.hedge_ns)}"
    if node.first_ns is not None:
        yield f"first = {duration(node.first_ns)}"


def _with_options(word: str, options: Iterator[str]) -> str:
    text = ", ".join(options)
    return f"{word} ({text})" if text else word


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
