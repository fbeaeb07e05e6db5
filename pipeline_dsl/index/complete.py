"""What may be written at a place: `Context` and the names of an `Index` -> items, best first.

The words around the cursor are those of the text as it is now; names and types are those of the last version that was
indexed. Variables come from both: a line that does not parse yet hides none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from pipeline_dsl import syntax
from pipeline_dsl.check.load import candidates
from pipeline_dsl.check.scope import Scope
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.operations import FUNCTIONS, OPERATIONS
from pipeline_dsl.parse import parse
from pipeline_dsl.reader.layout import DECLARATIONS
from pipeline_dsl.settings import BACKENDS, KeySpec, KeyTree, tree
from pipeline_dsl.unparse import type_text

from .blocks import backend_of
from .context import Context, callee
from .context import context as context_of
from .definitions import Definition
from .expressions import CALL_OPTIONS
from .frames import read
from .hover import about_key
from .index import Index
from .names import Callee, callee_in, definition_in, module_of, of_declaration, public
from .shown import inline

ItemKind = Literal[
    "keyword", "name", "function", "stage", "pipeline", "port", "setting", "word", "type", "module", "file"
]

Lister = Callable[[str], Iterable[str]]
"""The names in a folder, those of folders with `/` at the end."""

_OPTIONS = {
    "map": {
        "max": "most items of one request",
        "order": "`keep`: results in the order of the items",
        "on_error": "`fail`, `mark` or `drop`",
        "in_flight": "items that run at the same time",
    },
    "try": {
        "timeout": "a deadline for the block",
        "retries": "how often it is tried again",
        "hedge": "after which a second attempt starts",
        "first": "for a stream: until its first element",
    },
}
MOST = 200
"""Items of one answer. Where there are more, the editor asks again when more letters are written."""
_CONTROL = ("if", "map", "match", "route", "try")
_CONSTANTS = ("true", "false", "null", "not")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may be written."""

    label: str
    kind: ItemKind
    detail: str = ""
    doc: str = ""
    insert: str = ""
    """What is written; "": the label."""
    behind: int = 0
    """Characters before the cursor that it takes the place of, where that is more than a word."""
    about: Definition | None = field(default=None, repr=False)
    """What detail and documentation are taken from if the item is shown."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Items, best first; and whether they are all there are."""

    items: tuple[Item, ...]
    whole: bool = True


def complete(
    index: Index, text: str, offset: int, start: int, lister: Lister | None = None, most: int = MOST
) -> Completion:
    """What may stand at an offset of a text. `start` is where a declaration begins, at or before the offset.

    `lister` shows folders, for paths of imports. Where there are more items than `most`, those that fit what is
    written so far."""
    context = context_of(read(text, start, offset))
    found = _paths(context, index, lister) if context.what == "path" else _MAKERS[context.what](index, context)
    unique: dict[str, Item] = {}
    for item in found:
        unique.setdefault(item.label, item)
    items = list(unique.values())
    whole = len(items) <= most
    if not whole:
        items = [item for item in items if fits(context.prefix, item.label)][:most]
    return Completion(tuple(_described(item) for item in items), whole)


def fits(word: str, label: str) -> bool:
    """Whether a label has the letters of a word in this order, as editors choose."""
    rest = iter(label.lower())
    return all(letter in rest for letter in word.lower())


def _described(item: Item) -> Item:
    return item if item.about is None else replace(item, detail=_detail(item.about), doc=item.about.doc)


def _nothing(index: Index, context: Context) -> Iterator[Item]:
    return iter(())


def _words(index: Index, context: Context) -> Iterator[Item]:
    return (Item(word, "keyword") for word in context.words)


def _declaration(index: Index, context: Context) -> Iterator[Item]:
    return (Item(word, "keyword") for word in (*context.words, *sorted(DECLARATIONS)))


# ---- values


def _statement(index: Index, context: Context) -> Iterator[Item]:
    decl = _pipeline(index, context)
    if context.place != "return":
        yield Item("return", "keyword")
        if any(frame.opener == "{" for frame in context.frames[2:]):
            yield Item("yield", "keyword")
        return
    for port in decl.signature.outputs if decl else ():
        yield Item(port.name.text, "port", type_text(port.type), port.doc, f"{port.name.text} = ")
    yield from _expression(index, context)


def _expression(index: Index, context: Context) -> Iterator[Item]:
    if not _in_pipeline(context):
        yield from _declared(index.scope, ("const", "param", "module", "import"))
        return
    yield from _variables(index, context)
    yield from _declared(index.scope, ("stage", "pipeline", "const", "param", "module", "import"))
    if context.place == "right":
        yield from (Item(word, "keyword") for word in _CONTROL)
    yield from (Item(name, "function", doc=OPERATIONS[name].doc) for name in FUNCTIONS)
    yield from (Item(word, "keyword") for word in _CONSTANTS)


def _variables(index: Index, context: Context) -> Iterator[Item]:
    """What the lines above the cursor define, nearest first, and the inputs of the pipeline or sizes of a stage."""
    decl = _pipeline(index, context)
    types = _types(index, decl)
    for frame in reversed(context.frames):
        yield from (Item(name, "name", types.get(name, "")) for name in reversed(frame.made))
        yield from (Item(name, "name", types.get(name, "")) for name in _of_arm(frame.head))
    signature = decl.signature if decl else None
    for port in signature.inputs if signature else ():
        yield Item(port.name.text, "name", type_text(port.type), port.doc)


def _in_pipeline(context: Context) -> bool:
    """Whether stages can be called here; anywhere else a value is known when the file is compiled."""
    first = context.frames[1].head if len(context.frames) > 1 else ()
    return "pipeline" in (*context.frames[0].words[:2], *first[:2]) and len(context.frames) > 1


def _of_arm(head: tuple[str, ...]) -> Iterator[str]:
    """`x` of `map x in xs {`, `err` of `fallback err {`."""
    for before, word in pairwise(head):
        if word == "in" and "map" in head:
            yield before
        elif before == "fallback":
            yield word


def _pipeline(index: Index, context: Context) -> syntax.Pipeline | None:
    """The pipeline that the cursor is in, as it was when the text was indexed."""
    words = (*context.frames[0].words, *(context.frames[1].head if len(context.frames) > 1 else ()))
    name = words[words.index("pipeline") + 1] if "pipeline" in words[:2] and len(words) > 2 else ""
    found = callee_in(index.scope, name)
    return found.decl if found is not None and isinstance(found.decl, syntax.Pipeline) else None


def _types(index: Index, decl: syntax.Pipeline | None) -> dict[str, str]:
    """Types of a pipeline's variables by name; where arms share one, that of the first."""
    found: dict[str, str] = {}
    if decl is None:
        return found
    for region in index.regions:
        if decl.body.span.start <= region.span.start < decl.body.span.end:
            for name, variable in region.local.items():
                if variable.kind == "variable":
                    found.setdefault(name, inline(index.outcome(variable)))
    return found


def _declared(scope: Scope, kinds: tuple[str, ...]) -> Iterator[Item]:
    for name in scope.names:
        definition = definition_in(scope, name)
        if definition is not None and (definition.target or definition).kind in kinds:
            yield item_of(definition, name)


def item_of(definition: Definition, name: str) -> Item:
    """A declaration as an item."""
    target = definition.target or definition
    kinds: dict[str, ItemKind] = {"stage": "stage", "pipeline": "pipeline", "type": "type", "module": "module"}
    return Item(name, kinds.get(target.kind, "name"), about=target)


def _detail(definition: Definition) -> str:
    match definition.node:
        case syntax.Stage(signature=syntax.Signature() as signature) | syntax.Pipeline(signature=signature):
            return f"{_ports(signature.inputs)} -> {_ports(signature.outputs)}"
        case syntax.Stage(like=syntax.QName() as like):
            return f"like {like}"
        case syntax.Const(value=value):
            return f"const = {value.span.text}"
        case syntax.Param(type=written):
            return f"param: {type_text(written)}"
        case syntax.TypeAlias(type=written):
            return type_text(written)
        case syntax.Import(path=path):
            return path
    return definition.kind


def _ports(ports: tuple[syntax.Port, ...]) -> str:
    return "(" + ", ".join(f"{p.name}: {type_text(p.type)}" for p in ports) + ")"


# ---- calls


def _callee(index: Index, words: tuple[str, ...]) -> Callee | None:
    scope: Scope | None = index.scope
    for module in words[:-1]:
        scope = module_of(scope, module) if scope else None
    return callee_in(scope, words[-1]) if scope and words else None


def _argument(index: Index, context: Context) -> Iterator[Item]:
    """Ports that are not given yet, then what may be their value."""
    if context.place == "using":
        spec = BACKENDS.get(context.words[-1]) if context.words else None
        for key in spec.arguments if spec else ():
            if key.name not in context.given:
                yield Item(key.name, "setting", _kind(key), key.doc, f"{key.name} = ")
    else:
        found = _callee(index, context.words)
        for port in found.inputs if found else ():
            if port.name.text not in context.given:
                yield Item(port.name.text, "port", type_text(port.type), port.doc, f"{port.name.text} = ")
    yield from _expression(index, context)


def _option(index: Index, context: Context) -> Iterator[Item]:
    if context.place == "with":
        found = {name: spec.doc for name, spec in CALL_OPTIONS.items()}
    else:
        found = _OPTIONS[context.place]
    for name, doc in found.items():
        if name not in context.given:
            yield Item(name, "setting", doc=doc, insert=f"{name} = ")


def _member(index: Index, context: Context) -> Iterator[Item]:
    """Names of a module, or outputs of the call behind a variable."""
    if context.place == "call":
        yield from _outputs(_callee(index, context.words))
        return
    if not context.words:
        return
    first = context.words[0]
    for frame in reversed(context.frames):
        if first in frame.made:
            made = frame.made[first]
            yield from _outputs(_callee(index, callee(made[:-1])) if made[-1:] == ("()",) else None)
            return
    module = module_of(index.scope, first)
    if module is not None:
        wanted = ("type",) if context.place == "type" else ("stage", "pipeline", "const", "param")
        yield from (item_of(d, d.name) for d in public(module) if (d.target or d).kind in wanted)


def _outputs(found: Callee | None) -> Iterator[Item]:
    for port in found.outputs if found else ():
        yield Item(port.name.text, "port", type_text(port.type), port.doc)


# ---- types and settings


def _type(index: Index, context: Context) -> Iterator[Item]:
    yield from _declared(index.scope, ("type",))
    yield from (Item(name, "type", "dtype") for name in DTYPES)
    yield Item("stream", "keyword")
    yield from _declared(index.scope, ("module",))


def _dim(index: Index, context: Context) -> Iterator[Item]:
    """Sizes that the file uses already, and its consts and params."""
    yield from (Item(d.name, "name", f"size of {d.owner}") for d in index.defined() if d.kind == "size")
    yield from _declared(index.scope, ("const", "param"))


def _setting(index: Index, context: Context) -> Iterator[Item]:
    keys, path = _keys(index, context)
    block = keys.find(path)
    if not isinstance(block, dict):
        return
    for name, below in block.items():
        if name == "*":
            yield from _chosen(index, context, path)
        elif name not in context.given:
            spec = below if isinstance(below, KeySpec) else None
            yield _key(name, spec)


def _key(name: str, spec: KeySpec | None) -> Item:
    if spec is None:
        return Item(name, "setting", "block")
    return Item(name, "setting", _kind(spec), about_key(spec), f"{name} = ")


def _kind(spec: KeySpec) -> str:
    return " or ".join((*spec.words, *(() if spec.kind == "word" else (spec.kind,))))


def _chosen(index: Index, context: Context, path: tuple[str, ...]) -> Iterator[Item]:
    """Names of ports where the file chooses a key: `tensors { hidden = ".." }`."""
    stage = _stage_of(index, context)
    ports = () if stage is None or path[:1] not in (("tensors",), ("labels",)) else (*stage.inputs, *stage.outputs)
    for port in ports:
        if port.name.text not in context.given:
            yield Item(port.name.text, "port", type_text(port.type), port.doc, f"{port.name.text} = ")


def _stage_of(index: Index, context: Context) -> Callee | None:
    if context.place == "stage":
        words = next(f.head for f in context.frames if f.opener == "{")
        return callee_in(index.scope, words[1]) if len(words) > 1 else None
    return _callee(index, tuple(w for w in context.words if not w.isdecimal()))


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


def _setting_value(index: Index, context: Context) -> Iterator[Item]:
    keys, path = _keys(index, context)
    spec = keys.find(path)
    if isinstance(spec, KeySpec):
        words = ("true", "false") if spec.kind == "bool" else spec.words
        yield from (Item(word, "word", spec.name, spec.doc) for word in words)
        if spec.kind == "device":
            yield Item("cuda(0)", "word", spec.name, spec.doc)
        stage = _stage_of(index, context)
        if path[:1] == ("ragged",):
            yield from (Item(w, "word", insert=f"{w}(") for w in ("pad", "pack"))
            yield Item("reject", "word")
        elif spec.kind == "names" and stage is not None:
            yield from (Item(p.name.text, "port", type_text(p.type)) for p in stage.inputs)
    yield from _declared(index.scope, ("const", "param"))


def _selector(index: Index, context: Context) -> Iterator[Item]:
    """What a block of a profile may be about."""
    scope: Scope | None = index.scope
    if not context.words:
        yield Item("*", "keyword", "every stage")
        yield from _declared(index.scope, ("stage", "pipeline", "param", "module", "import"))
        return
    found = callee_in(index.scope, context.words[0])
    if found is not None and isinstance(found.decl, syntax.Pipeline):
        yield from (Item(name, "name", detail) for name, detail in _types(index, found.decl).items())
        return
    scope = module_of(index.scope, context.words[0])
    if scope is not None:
        yield from _declared(scope, ("stage", "param"))


def _profile(index: Index, context: Context) -> Iterator[Item]:
    here = context.words[0] if context.words else ""
    yield from (Item(name, "name", "profile", b.decl.doc) for name, b in index.scope.profiles.items() if name != here)


def _stage(index: Index, context: Context) -> Iterator[Item]:
    return _declared(index.scope, ("stage", "module"))


def _backend(index: Index, context: Context) -> Iterator[Item]:
    return (Item(name, "function", spec.example, insert=f"{name}(") for name, spec in BACKENDS.items())


def _placeholder(index: Index, context: Context) -> Iterator[Item]:
    return _declared(index.scope, ("const", "param", "module"))


# ---- imports


def _imported(index: Index, context: Context) -> Iterator[Item]:
    """Public names of the file of a `from`. The line does not parse before one is written, so the file is read here."""
    for decl in _declarations(index, context.place.strip('"')):
        private = isinstance(decl, syntax.Pipeline) and decl.private
        if not private and not isinstance(decl, syntax.Import | syntax.FromImport | syntax.Profile):
            yield item_of(of_declaration(decl), decl.name.text)


def _declarations(index: Index, path: str) -> tuple[syntax.Decl, ...]:
    """The declarations of a file that is imported, or could be; none if it can not be read."""
    options = index.scope.options
    for place in candidates(path, index.source.path, options.search_path):
        for scope in index.scope.imported():
            if scope.module.source.path == place:
                return scope.module.decls
        try:
            return parse(options.loader.read(place), Sink()).decls
        except (OSError, ValueError):
            continue
    return ()


def _paths(context: Context, index: Index, lister: Lister | None) -> Iterator[Item]:
    """Folders and `.pipe` files beside this one."""
    folder, _, typed = context.place.rpartition("/")
    if lister is None or context.place.startswith("@"):
        return
    base = os.path.join(index.scope.folder, folder)
    here = os.path.basename(index.source.path)
    for name in sorted(lister(base)):
        if name.endswith("/") or (name.endswith(".pipe") and (folder or name != here)):
            yield Item(name, "file", behind=len(typed))


_MAKERS: dict[str, Callable[[Index, Context], Iterator[Item]]] = {
    "nothing": _nothing,
    "declaration": _declaration,
    "word": _words,
    "arm": _words,
    "statement": _statement,
    "expression": _expression,
    "argument": _argument,
    "option": _option,
    "member": _member,
    "type": _type,
    "dim": _dim,
    "selector": _selector,
    "setting": _setting,
    "value": _setting_value,
    "profile": _profile,
    "stage": _stage,
    "backend": _backend,
    "imported": _imported,
    "placeholder": _placeholder,
}
