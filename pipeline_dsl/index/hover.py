"""What is said about a name or a word, as Markdown."""

from __future__ import annotations

from dataclasses import replace

from pipeline_dsl import syntax
from pipeline_dsl.check.scope import ValueBinding
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.literals import duration, size, spelled
from pipeline_dsl.operations import OPERATIONS
from pipeline_dsl.settings import BACKENDS, KeySpec
from pipeline_dsl.source import Span
from pipeline_dsl.unparse import to_text, type_text

from .definitions import Definition, Topic
from .index import Index
from .names import definition_in
from .shown import known, short, types_of
from .spans import head

Hover = tuple[str, Span]
"""Markdown, and the word it is about."""


def hover(index: Index, offset: int) -> Hover | None:
    """What is known of the word at an offset."""
    for occurrence in index.at(offset):
        return about(index, occurrence.definition), occurrence.span
    topic = index.topic_at(offset)
    if topic is not None:
        return about_topic(topic), topic.span
    file = index.import_at(offset)
    if file is not None:
        span = next(span for span, d in index.imports if d == file and span.start <= offset <= span.end)
        return _joined(f"`{file.name}`", _listed(index, file)), span
    return None


def about(index: Index, definition: Definition) -> str:
    """What is known of a definition."""
    match definition.kind:
        case "variable":
            return _variable(index, definition)
        case "input" | "output":
            return _port(definition)
        case "import":
            target = definition.target
            return about(index, target) if target else _code(f"{definition.name}: not found")
        case "module":
            return _joined(_code(_declared(definition)), definition.doc)
        case "const" | "param":
            return _joined(_code(_declared(definition)), definition.doc, _value(index, definition))
        case "size":
            return _joined(_code(f"size {definition.name}"), f"of {definition.owner}" if definition.owner else "")
        case "state":
            return _joined(_code(definition.whole.text), f"kept between requests by {definition.owner}")
        case "profile":
            return _joined(_code(_declared(definition)), definition.doc)
        case _:
            return _joined(_code(_declared(definition)), definition.doc)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _code(text: str) -> str:
    return f"```pipe\n{text}\n```"


def _variable(index: Index, variable: Definition) -> str:
    outcome = index.outcome(variable)
    found = types_of(outcome)
    if not found:
        return _joined(_code(variable.name), "its type is not known")
    texts, origins = short(kind for _, kind in found)
    if found[0][0] and len(found) == 1:
        lines = [f"{variable.name}: {texts[0]}"]
    else:
        names = (f"{variable.name}.{port}" if port else variable.name for port, _ in found)
        lines = [f"{name}: {text}" for name, text in zip(names, texts)]
    return _joined(_code("\n".join(lines) + known(outcome)), "  \n".join(origins))


def _port(port: Definition) -> str:
    node = port.node
    assert isinstance(node, syntax.Port)
    default = f" = {node.default.span.text}" if node.default is not None else ""
    line = f"{node.name}: {type_text(node.type)}{default}"
    return _joined(_code(line), node.doc, f"{port.kind} of {port.owner}")


def _declared(definition: Definition) -> str:
    """The declaration in the formatter's layout, without its documentation and what stands between its braces."""
    decl = definition.node
    match decl:
        case syntax.Stage():
            decl = replace(decl, doc="", block=None)
        case syntax.Pipeline():
            decl = replace(decl, doc="", body=syntax.Body(span=decl.body.span))
        case syntax.Profile():
            decl = replace(decl, doc="", items=())
        case syntax.Const() | syntax.Param() | syntax.TypeAlias():
            decl = replace(decl, doc="")
        case syntax.Import():
            pass
        case _:
            return definition.name
    try:
        text = to_text(syntax.Module(definition.span.source, None, (decl,), span=decl.span)).strip()
    except CompileError:  # beyond a limit, and that has been told
        return head(decl).text
    return text.removesuffix("{}").rstrip() if isinstance(decl, syntax.Pipeline | syntax.Profile) else text


def _value(index: Index, definition: Definition) -> str:
    """The value that a const or param has now, where its declaration does not show it."""
    written = getattr(definition.node, "value", None) or getattr(definition.node, "default", None)
    for scope in (index.scope, *index.scope.imported()):
        found = scope.lookup(definition.name)
        if isinstance(found, ValueBinding) and found.decl is definition.node:
            origin = f", from {found.origin}" if found.origin and found.origin != "default" else ""
            text = spelled(found.value, found.type)
            shown = isinstance(written, syntax.Literal) or (written is not None and written.span.text == text)
            if shown and not origin:
                return ""
            return f"`{text}`{origin}" if len(text) <= 200 and "\n" not in text else ""
    return ""


def _listed(index: Index, file: Definition) -> str:
    """What a file declares."""
    scopes = [s for s in index.scope.imported() if s.module.source.path == file.name]
    found = (definition_in(s, name) for s in scopes for name in s.names)
    return "\n".join(f"- {d.kind} `{d.name}`" for d in found if d is not None)


# ---- words of tables


def about_topic(topic: Topic) -> str:
    """What a table says about a word."""
    if topic.spec is not None:
        return about_key(topic.spec, topic.name)
    match topic.kind:
        case "block":
            keys = ", ".join(f"`{key}`" for key in topic.inside)
            return f"`{topic.name}`: a block with {keys or 'names that the file chooses'}"
        case "dtype":
            return _dtype(topic.name)
        case "function":
            return f"`{OPERATIONS[topic.name].doc}`"
        case "backend":
            return _joined(f"backend `{topic.name}`", _code(BACKENDS[topic.name].example))
    return f"`{topic.name}`"


def about_key(spec: KeySpec, name: str = "") -> str:
    """A settings key: what it takes, its default, what it means."""
    takes = [*(f"`{w}`" for w in spec.words), *([] if spec.kind == "word" else [spec.kind])]
    parts = [" or ".join(takes)]
    if spec.kind in ("int", "ints") and spec.minimum:
        parts.append(f"from {spec.minimum} up")
    if spec.default not in (None, (), ""):
        parts.append(f"default `{_default(spec)}`")
    if spec.backends:
        parts.append(f"of {', '.join(spec.backends)} stages")
    return _joined(f"`{name or spec.name}`: {', '.join(parts)}", spec.doc)


def _default(spec: KeySpec) -> str:
    if isinstance(spec.default, bool):
        return str(spec.default).lower()
    if spec.kind == "duration":
        return duration(spec.default)
    return size(spec.default) if spec.kind == "size" else str(spec.default)


def _dtype(name: str) -> str:
    dtype = DTYPES[name]
    if dtype.kind == "setting":
        return f"`{name}`: a type of params, not of values"
    width = f"{dtype.itemsize} byte{'s' if dtype.itemsize > 1 else ''} an item, " if dtype.itemsize else ""
    return f"`{name}`: {width}`{dtype.kserve}` for clients"
