"""Profiles in Python: how the stages and pipelines run on some machine.

    gpu = pp.profile("gpu", extends="cpu")
    gpu[big].set(device=pp.cuda(0), batching=dict(max=64, delay=pp.ms(2)))
    gpu[cascade.node("s")].set(priority=1)
    gpu.everywhere.set(instances=1)
    gpu[CANARY] = pp.percent(25)

What is set before `module` is called is in the module.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.source import Span

from .declared import Declared, Uses, merged
from .idents import ident
from .names import Fixture, Imported
from .parts import part
from .pipelines import Node, Pipeline
from .places import Place, caller
from .settings import Item, items_of, key_of
from .stages import Pinned, Stage


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a profile's block is about; no key: every stage."""

    key: tuple[str, ...] = ()
    version: int | str | None = None


class Selected:
    """The block of a profile for one stage, call site or pipeline."""

    __slots__ = ("_items", "_span", "_uses")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._items: tuple[Item, ...] = ()
        self._uses: Uses = ()

    def set(self, **settings: Any) -> Selected:
        """Adds settings; blocks are dicts: `.set(instances=2, batching=dict(max=8))`."""
        items, uses = items_of(settings, caller(), ("stage", "pipeline"))
        self._items += items
        self._uses = merged([self._uses, uses])
        return self

    def block(self) -> syntax.Block:
        """All that was set."""
        return syntax.Block(self._items, span=self._span)

    def uses(self) -> Uses:
        """What the settings need."""
        return self._uses


class Profile(Declared):
    """A profile; see `profile`."""

    __slots__ = ("_blocks", "_doc", "_extends", "_name", "_place")

    def __init__(self, name: str, extends: tuple[str | Profile, ...], doc: str, place: Place) -> None:
        super().__init__()
        self._name = ident(name, place.argument(0).span)
        self._extends = extends
        self._doc = doc
        self._place = place
        self._blocks: dict[_Chosen | str, Selected | tuple[syntax.Setting, Uses]] = {}

    @property
    def name(self) -> str:
        """Its name."""
        return self._name.text

    @property
    def everywhere(self) -> Selected:
        """The block for every stage: `gpu.everywhere.set(device="cpu")`."""
        return self._selected(_Chosen())

    def __getitem__(self, selector: Stage | Pinned | Pipeline | Node | Imported | str) -> Selected:
        """The block for a stage, one version of it, a pipeline, a call site, or a name: `gpu["embed.encoder"]`."""
        return self._selected(_chosen(selector))

    def __setitem__(self, name: Fixture | str, value: Any) -> None:
        """Another value for a param: `gpu[CANARY] = pp.percent(25)`."""
        place = caller()
        made = part(value, place)
        text = name.__name__ if isinstance(name, Fixture) else name
        setting = syntax.Setting(key_of(text, place.span), made.expr, span=place.span)
        self._blocks[text] = (setting, made.uses)

    def tree(self) -> syntax.Profile:
        names = (one if isinstance(one, str) else one.name for one in self._extends)
        span = self._place.entry("extends")[1].span
        extends = tuple(syntax.Ident(name, span=span) for name in names)
        items = tuple(self._item(chosen, block) for chosen, block in self._blocks.items())
        return syntax.Profile(self._name, extends, items, self._doc, span=self._place.span)

    def uses(self) -> Uses:
        parents: Uses = tuple(one for one in self._extends if isinstance(one, Profile))
        blocks = (b.uses() if isinstance(b, Selected) else b[1] for b in self._blocks.values())
        return merged([parents, *blocks])

    def _selected(self, chosen: _Chosen) -> Selected:
        found = self._blocks.setdefault(chosen, Selected(caller().span))
        assert isinstance(found, Selected)
        return found

    def _item(
        self, chosen: _Chosen | str, block: Selected | tuple[syntax.Setting, Uses]
    ) -> syntax.Setting | syntax.Nested | syntax.Everywhere:
        if not isinstance(block, Selected):
            return block[0]
        assert isinstance(chosen, _Chosen)
        inner = block.block()
        if not chosen.key:
            return syntax.Everywhere(inner, span=inner.span)
        key = syntax.Key(chosen.key, span=inner.span)
        return syntax.Nested(key, chosen.version, inner, span=inner.span)

    def __repr__(self) -> str:
        return f"<profile {self.name}>"


def profile(name: str, *, extends: str | Profile | Iterable[str | Profile] = (), doc: str = "") -> Profile:
    """A profile, empty at first: `gpu = pp.profile("gpu", extends="cpu")`."""
    parents = (extends,) if isinstance(extends, str | Profile) else tuple(extends)
    return Profile(name, parents, doc, caller())


def _chosen(selector: object) -> _Chosen:
    match selector:
        case Stage(name=name) | Pipeline(name=name):
            return _Chosen((name,))
        case Pinned(stage=stage, version=version):
            return _Chosen((stage.name,), version)
        case Node(pipeline=owner, name=name):
            return _Chosen((owner.name, *name.split(".")))
        case Imported():
            return _Chosen(selector.__names__)
        case str():
            return _Chosen(key_of(selector, caller().span).parts)
    raise TypeError(f"a profile is about stages, pipelines and their nodes, found {selector!r:.60}")
