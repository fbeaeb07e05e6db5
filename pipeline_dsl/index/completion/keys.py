"""What is no value of a body: types, settings and what they take, what profiles are about."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_dsl import syntax
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.index.blocks import backend_of
from pipeline_dsl.index.index import Index
from pipeline_dsl.index.names import Callee, callee_in, module_of
from pipeline_dsl.settings import BACKENDS, KeySpec, KeyTree, tree

from .context import Context
from .items import Item, declared, given, inputs_of, key_item, outputs_of
from .values import callee_at, types_of_variables


def type_(index: Index, context: Context) -> Iterator[Item]:
    """Aliases, dtypes, and modules that have more."""
    yield from declared(index.scope, ("type",))
    yield from (Item(name, "type", "dtype") for name in DTYPES)
    yield Item("stream", "keyword")
    yield from declared(index.scope, ("module",))


def dim(index: Index, context: Context) -> Iterator[Item]:
    """Sizes that the file uses already, and its consts and params."""
    yield from (Item(d.name, "name", f"size of {d.owner}") for d in index.defined() if d.kind == "size")
    yield from declared(index.scope, ("const", "param"))


def stage(index: Index, context: Context) -> Iterator[Item]:
    """What `like` may name."""
    return declared(index.scope, ("stage", "module"))


def backend(index: Index, context: Context) -> Iterator[Item]:
    """What may stand behind `using`."""
    return (Item(name, "function", spec.example, insert=f"{name}(") for name, spec in BACKENDS.items())


def placeholder(index: Index, context: Context) -> Iterator[Item]:
    """What may stand between `${` and `}`."""
    return declared(index.scope, ("const", "param", "module"))


# ---- settings


def setting(index: Index, context: Context) -> Iterator[Item]:
    """Keys of a block that it does not have yet."""
    keys, path = _keys(index, context)
    block = keys.find(path)
    if not isinstance(block, dict):
        return
    for name, below in block.items():
        if name == "*":
            yield from _chosen(index, context, path)
        elif name not in context.given:
            spec = below if isinstance(below, KeySpec) else None
            yield key_item(name, spec)


def _chosen(index: Index, context: Context, path: tuple[str, ...]) -> Iterator[Item]:
    """Names of ports where the file chooses a key: `tensors { hidden = ".." }`."""
    stage = _stage_of(index, context)
    if path[:1] in (("tensors",), ("labels",)):
        ports = (*inputs_of(stage), *outputs_of(stage))
        yield from (given(port) for port in ports if port.label not in context.given)


def _stage_of(index: Index, context: Context) -> Callee | None:
    if context.place == "stage":
        words = next(f.head for f in context.frames if f.opener == "{")
        return callee_in(index.scope, words[1]) if len(words) > 1 else None
    return callee_at(index, tuple(w for w in context.words if not w.isdecimal()))


def _keys(index: Index, context: Context) -> tuple[KeyTree, tuple[str, ...]]:
    """The table of a block, and the path in it. A block of a profile for a pipeline's node has those of its stage."""
    stage = _stage_of(index, context)
    if context.place == "stage":
        words = next(f.head for f in context.frames if f.opener == "{")
        backend = words[words.index("using") + 1] if "using" in words[:-1] else ""
        return tree("contract", backend if backend in BACKENDS else ""), context.path
    if stage is not None and isinstance(stage.decl, syntax.Pipeline):
        return tree("pipeline"), context.path
    backend = backend_of(stage.decl) if stage is not None and isinstance(stage.decl, syntax.Stage) else ""
    return tree("stage", backend if backend in BACKENDS else ""), context.path


def value(index: Index, context: Context) -> Iterator[Item]:
    """What a setting takes."""
    keys, path = _keys(index, context)
    spec = keys.find(path)
    if isinstance(spec, KeySpec):
        words = ("true", "false") if spec.kind == "bool" else spec.words
        yield from (Item(word, "word", spec.name, spec.doc) for word in words)
        if spec.kind == "device":
            yield from (Item(device, "word", spec.name, spec.doc) for device in ("cuda(0)", "sim(0)"))
        stage = _stage_of(index, context)
        if path[:1] == ("ragged",):
            yield from (Item(w, "word", insert=f"{w}(") for w in ("pad", "pack"))
            yield Item("reject", "word")
        elif spec.kind == "names":
            yield from inputs_of(stage)
    yield from declared(index.scope, ("const", "param"))


# ---- profiles


def selector(index: Index, context: Context) -> Iterator[Item]:
    """What a block of a profile may be about."""
    if not context.words:
        yield Item("*", "keyword", "every stage")
        yield from declared(index.scope, ("stage", "pipeline", "param", "module", "import"))
        return
    found = callee_in(index.scope, context.words[0])
    if found is not None and isinstance(found.decl, syntax.Pipeline):
        yield from (Item(name, "name", detail) for name, detail in types_of_variables(index, found.decl).items())
        return
    scope = module_of(index.scope, context.words[0])
    if scope is not None:
        yield from declared(scope, ("stage", "param"))


def profile(index: Index, context: Context) -> Iterator[Item]:
    """What a profile may extend."""
    here = context.words[0] if context.words else ""
    yield from (Item(name, "name", "profile", b.decl.doc) for name, b in index.scope.profiles.items() if name != here)
