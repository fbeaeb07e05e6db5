"""Rules of blocks of settings."""

from __future__ import annotations

from pipeline_dsl import syntax

from .rules import Children, Group, after, ident, nodes, over, rule


@rule("block")
def _block(c: Children) -> syntax.Block:
    return syntax.Block(nodes(c), span=over(c))


@rule("setting")
def _setting(c: Children) -> syntax.Setting:
    return syntax.Setting(c[0], c[2], span=over(c))


@rule("selector")
def _selector(c: Children) -> Group:
    return Group((c[0], c[2].items[0] if len(c) > 1 else None), over(c))


@rule("nested")
def _nested(c: Children) -> syntax.Nested:
    key, version = c[0].items
    return syntax.Nested(key, version, c[1], span=over(c))


@rule("key")
def _key(c: Children) -> syntax.Key:
    if c[0].type == "STRING":
        return syntax.Key((c[0].value,), span=c[0].span)
    return syntax.Key(tuple(leaf.text for leaf in c[::2]), span=over(c))


@rule("state")
def _state(c: Children) -> syntax.State:
    tensor_in = after(c, "AS")
    renamed = (tensor_in.value, c[-1].value) if tensor_in else (None, None)
    return syntax.State(ident(c[1]), c[3], after(c, "EQUAL"), *renamed, span=over(c))


@rule("everywhere")
def _everywhere(c: Children) -> syntax.Everywhere:
    return syntax.Everywhere(c[1], span=over(c))
