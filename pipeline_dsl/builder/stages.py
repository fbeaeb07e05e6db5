"""Stages in Python: `stage(name, signature, backend, ..)` declares one, calling it in a pipeline makes a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_dsl import syntax

from .backends import Backend
from .calls import Result, call
from .declared import Declared, Fixed, merged
from .idents import ident
from .parts import Part
from .places import Place, caller
from .settings import block_of
from .signatures import Signature, bounds_of


class Pinned:
    """One version of a stage: `ranker.at(4)(x)`, and `profile[ranker.at(4)]`."""

    __slots__ = ("stage", "version")

    def __init__(self, stage_: Stage, version: int | str) -> None:
        self.stage = stage_
        self.version = version

    def __call__(self, *args: Any, **ports: Any) -> Result:
        """A node that runs this version."""
        expr = syntax.Versioned(self.stage.name, self.version, span=caller().span)
        return call(expr, (self.stage.declared,), f"stage `{self.stage.name}`", args, ports)

    def __repr__(self) -> str:
        return f"<stage {self.stage.name}@{self.version}>"


class Stage:
    """A stage. Calling it makes a node: `s = small(image)`, then `s.label`."""

    __slots__ = ("declared", "name", "signature")

    def __init__(self, name: str, signature: Signature | None, declared: Declared) -> None:
        self.name = name
        self.signature = signature
        """To be shared: `pp.stage("big", small.signature, ..)`."""
        self.declared = declared

    def __call__(self, *args: Any, **ports: Any) -> Result:
        """A node of the graph; ports in order or by name."""
        expr = syntax.Name(self.name, span=caller().span)
        return call(expr, (self.declared,), f"stage `{self.name}`", args, ports)

    def at(self, version: int | str) -> Pinned:
        """This stage with its version fixed: `ranker.at(4)(x)` is `ranker@4(x)`."""
        return Pinned(self, version)

    def __part__(self, place: Place | None) -> Part:
        """Its name, for settings that list stages."""
        expr = syntax.Name(self.name, span=caller().span if place is None else place.span)
        return Part(expr, (self.declared,))

    def __declared__(self) -> Declared:
        return self.declared

    def __repr__(self) -> str:
        return f"<stage {self.name}>"


def stage(
    name: str,
    signature: Signature | Stage | Backend | None = None,
    using: Backend | None = None,
    *,
    where: Sequence[Any] = (),
    doc: str = "",
    **contract: Any,
) -> Stage:
    """Declares a stage.

        small = pp.stage("small", pp.sig(x=f32["*", 8]).to(y=f32["*"]), pp.onnx("small.onnx"), effects="none")

    signature: inputs and outputs; another stage, to take its signature; or left out, for the lock file. where: bounds
    on sizes, `["L <= 512"]`. contract: its settings, blocks as dicts: `ragged=dict(L=pp.pad(0))`."""
    place = caller()
    if isinstance(signature, Backend) and using is None:
        signature, using = None, signature
    if not isinstance(using, Backend):
        raise TypeError(f'stage `{name}` needs a backend: pp.stage("{name}", pp.sig(..), pp.onnx("model.onnx"))')
    bounds, bound_uses = bounds_of(where, place.entry("where")[1])
    block, block_uses = block_of(contract, place, ("contract",))
    shared = signature.declared if isinstance(signature, Stage) else None
    own = signature if isinstance(signature, Signature) else None
    tree = syntax.Stage(
        ident(name, place.argument(0).span),
        own.tree if own else None,
        _like(signature, place),
        bounds,
        using.tree,
        block,
        doc,
        span=place.span,
    )
    uses = merged([(shared,) if shared else (), own.uses if own else (), bound_uses, using.uses, block_uses])
    inherited = signature.signature if isinstance(signature, Stage) else own
    return Stage(name, inherited, Fixed(tree, uses, using.unfit))


def _like(signature: object, place: Place) -> syntax.QName | None:
    if not isinstance(signature, Stage):
        return None
    span = place.argument(1).span
    return syntax.QName((syntax.Ident(signature.name, span=span),), span=span)
