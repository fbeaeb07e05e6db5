"""Random modules with nested constructs, as text: well typed by construction, from a seed.

Every value has a kind: what one element has (`vector` f32[4], `single` f32, `flag`, `number`, `word`, `strip` of any
length), or a list of those along a size: `rows` of group `B` are `f32[B, 4]`, and values of one group have one size.
`map` turns a list into its items and back, `if`, `match`, `route` and `try` choose among arms that yield the same
kinds. Private pipelines are called with one element, or over a list. Stages are functions of `tests.executor`, called
by the backend `function`; poisoned rows make some of them fail, each for itself.

    module = random_module(random.Random(7))
    program = check_text(module.text, OPTIONS)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline_dsl.check import Options, TextLoader
from tests.executor.functions import ROW_POISON

OPTIONS = Options(environ={}, loader=TextLoader({}), backends=lambda: ("function",))
"""How such a text is checked: without the machine's environment, and with the backend that it names."""


class RandomModule(NamedTuple):
    """A text, which function each of its stages is, and the inputs of some requests."""

    text: str
    functions: dict[str, str]
    inputs: list[dict[str, Any]]


# ---- stages


@dataclass(frozen=True)
class Call:
    """A function as a stage. `takes` and `gives` are kinds of one element; a stage with `*` takes lists of them too."""

    ports: str
    outputs: str
    takes: tuple[str, ...]
    gives: str
    rows: bool = True
    """It has `*`."""


CALLS: dict[str, Call] = {
    "scale": Call("x: f32[*, 4]", "y: f32[*, 4]", ("vector",), "vector"),
    "add": Call("a: f32[*, 4], b: f32[*, 4]", "y: f32[*, 4]", ("vector", "vector"), "vector"),
    "tag": Call("x: f32[*, 4]", "t: string[*]", ("vector",), "word"),
    "size": Call("t: string[*]", "y: f32[*, 4]", ("word",), "vector"),
    "judge": Call("v: f32[*, 4]", "f: bool[*]", ("vector",), "flag"),
    "grade": Call("v: f32[*, 4]", "n: i64[*]", ("vector",), "number"),
    "spell": Call("x: f32[*, 4]", "r: f32[*, ~L]", ("vector",), "strip"),
    "twice": Call("r: f32[*, ~L]", "s: f32[*, ~L]", ("strip",), "strip"),
    "height": Call("r: f32[*, ~L]", "s: f32[*]", ("strip",), "single"),
    "first": Call("v: f32[4]", "s: f32", ("vector",), "single", rows=False),
    "perhaps": Call("v: f32[4]", "w: f32[4]?", ("vector",), "vector?", rows=False),
    "total": Call("x: f32[N, 4]", "v: f32[4]", ("rows",), "vector", rows=False),
    "spread": Call("v: f32[4]", "r: f32[M, 4]", ("vector",), "fresh rows", rows=False),
}
LISTS = {
    "vector": "rows",
    "single": "singles",
    "flag": "flags",
    "number": "numbers",
    "word": "words",
    "strip": "strips",
}
"""A list of each kind."""
ITEMS = {many: one for one, many in LISTS.items()}
TYPES = {
    "vector": "f32[4]",
    "single": "f32",
    "flag": "bool",
    "number": "i64",
    "word": "string",
    "strip": "f32[?]",
    "vector?": "f32[4]?",
    "single?": "f32?",
    "flag?": "bool?",
    "number?": "i64?",
    "word?": "string?",
}
CONSTANTS = {
    "single": ("cast(1.5, f32)", "cast(0, f32)"),
    "flag": ("true", "false"),
    "number": ("1", "7"),
    "word": ('"a"', '"bc"'),
}
DEEPEST = 3
ROWS = "*"
"""The group of rows that do not know of one another: a pipeline over them is called with one row or with many."""


@dataclass(frozen=True)
class Value:
    """A name with its kind, and for lists the group of equal sizes."""

    name: str
    kind: str
    group: str = ""


@dataclass
class _Scope:
    """What can be read at a place."""

    values: list[Value]
    depth: int = 0
    once: bool = True
    """Stages with `effects = once` may stand here."""
    calls: bool = True
    """Pipelines may be called here."""

    def of(self, kind: str) -> list[Value]:
        return [value for value in self.values if value.kind == kind]

    def inner(self, *more: Value, once: bool = True) -> _Scope:
        return _Scope([*self.values, *more], self.depth + 1, self.once and once, self.calls)


@dataclass
class _Writer:
    """One module being written."""

    rng: random.Random
    stages: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name -> function and declaration."""
    pipelines: dict[str, tuple[str, list[Value]]] = field(default_factory=dict)
    """Private ones: name -> text and outputs."""
    names: int = 0
    groups: int = 0

    def name(self, prefix: str = "v") -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def group(self) -> str:
        self.groups += 1
        return f"G{self.groups}"

    def stage(self, function: str, once: bool) -> str:
        """A stage for a function, an old one or a new one."""
        same = [n for n, (f, _) in self.stages.items() if f == function and (once or "once" not in self.stages[n][1])]
        if same and self.rng.random() < 0.5:
            return self.rng.choice(same)
        name = f"s{len(self.stages)}_{function}"
        effects = self.rng.choice(["none", "repeatable", "repeatable", "repeatable", "once" if once else "none"])
        fails = ', fails = "rows"' if CALLS[function].takes[0] == "vector" and CALLS[function].rows else ""
        call = CALLS[function]
        text = f"stage {name}({call.ports}) -> ({call.outputs})"
        text += f'\n  using function(function = "{function}"{fails}) {{ effects = {effects} }}'
        self.stages[name] = (function, text)
        return name

    # ---- statements

    def body(self, scope: _Scope, count: int) -> Iterator[str]:
        """Statements; what they define is added to the scope."""
        for _ in range(count):
            makers = [self.call, self.call, self.call, self.expression]
            makers += [self.pipeline] if scope.calls and scope.once else []
            if scope.depth < DEEPEST:
                makers += [self.if_, self.match, self.map, self.map, self.route, self.try_, self.present]
            yield from self.rng.choice(makers)(scope)

    def call(self, scope: _Scope) -> Iterator[str]:
        fitting = [(f, args) for f in CALLS for args in self._arguments(CALLS[f], scope)]
        if not fitting:
            return
        function, args = self.rng.choice(fitting)
        call, name = CALLS[function], self.name()
        stage = self.stage(function, scope.once)
        many = args[0].kind in ITEMS and call.rows
        kind, group = (LISTS[call.gives], args[0].group) if many else (call.gives, "")
        if kind == "fresh rows":
            kind, group = "rows", self.group()
        yield f"{name} = {stage}({', '.join(a.name for a in args)})"
        scope.values.append(Value(name, kind, group))

    def _arguments(self, call: Call, scope: _Scope) -> Iterator[list[Value]]:
        """One choice of arguments for single elements, and one for lists of one group."""
        # Rows of `*` belong to nobody as a whole: a stage without `*` does not take them.
        single = [[v for v in scope.of(kind) if v.group != ROWS] for kind in call.takes]
        if all(single):
            yield [self.rng.choice(values) for values in single]
        if not call.rows:
            return
        lists = [[v for v in scope.of(LISTS[kind])] for kind in call.takes]
        if all(lists):
            first = self.rng.choice(lists[0])
            beside = [[v for v in values if v.group == first.group] for values in lists[1:]]
            if all(beside):
                yield [first, *(self.rng.choice(values) for values in beside)]

    def pipeline(self, scope: _Scope) -> Iterator[str]:
        """A call of a private pipeline, which is written now or was before: with one element, or over a list."""
        name = self.rng.choice([*self.pipelines, "", ""]) or self._private()
        outputs = self.pipelines[name][1]
        flags, words, vectors = scope.of("flag"), scope.of("word"), scope.of("vector")
        lists = [v for v in scope.of("rows")]
        if not vectors or not words:
            return
        over = self.rng.choice(lists) if name.startswith("each") and lists and self.rng.random() < 0.6 else None
        given = [(over or self.rng.choice(vectors)).name, self.rng.choice(words).name]
        given += [f"flag = {self.rng.choice(flags).name}"] if flags and self.rng.random() < 0.7 else []
        maybe = scope.of("vector?") + vectors
        given += [f"w = {self.rng.choice(maybe).name}"] if self.rng.random() < 0.6 else []
        results: list[Value] = []
        for output in outputs:
            kind, group = output.kind, output.group
            if group == ROWS:
                kind, group = (kind, over.group) if over is not None else (ITEMS[kind], "")
            elif group:
                group = self.group()
            results.append(Value(self.name(), kind, group))
        yield f"{self.head(results)} = {name}({', '.join(given)})"
        scope.values += results

    def _private(self) -> str:
        """A pipeline over one element (`sub`), or over rows that it keeps apart (`each`)."""
        rows = self.rng.random() < 0.5
        name = self.name("each" if rows else "sub")
        first = Value("v", "rows", ROWS) if rows else Value("v", "vector")
        inputs = [first, Value("k", "word"), Value("flag", "flag"), Value("w", "vector?")]
        scope = _Scope(list(inputs), calls=False)
        lines = list(self.body(scope, self.rng.randint(1, 3)))
        made = [v for v in scope.values[4:] if not v.kind.endswith("?") and (v.group == ROWS) is rows] or [first]
        outputs = self.rng.sample(made, min(len(made), self.rng.randint(1, 2)))
        ports = ", ".join(f"{output.name}: {_type(output)}" for output in outputs)
        takes = f"v: {_type(first)}, k: string, flag: bool = true, w: f32[4]?"
        text = f"private pipeline {name}({takes}) -> ({ports}) {{\n"
        text += "".join(f"  {line}\n" for line in [*lines, f"return {', '.join(o.name for o in outputs)}"]) + "}"
        self.pipelines[name] = (text, outputs)
        return name

    def expression(self, scope: _Scope) -> Iterator[str]:
        singles, flags, maybe = scope.of("single"), scope.of("flag"), scope.of("single?")
        made: list[tuple[str, str]] = []
        if singles:
            a, b = (self.rng.choice(singles).name for _ in range(2))
            made += [(f"{a} + {b} * 2.0", "single"), (f"{a} > {b}", "flag"), (f"{a} < 100.0", "flag")]
        if flags:
            a, b = (self.rng.choice(flags).name for _ in range(2))
            made += [(f"{a} and not {b}", "flag"), (f"not {a}", "flag")]
        if maybe:
            made.append((f"{self.rng.choice(maybe).name} ?? 3.0", "single"))
        if made:
            text, kind = self.rng.choice(made)
            name = self.name()
            yield f"{name} = {text}"
            scope.values.append(Value(name, kind))

    # ---- constructs

    def targets(self, scope: _Scope) -> list[Value]:
        """What the arms of a construct yield: kinds that every arm can make, with names for them."""
        kinds = [k for k in LISTS if scope.of(k) or k in CONSTANTS]
        found = [Value(self.name(), kind) for kind in self.rng.choices(kinds, k=self.rng.choice([1, 1, 2]))]
        lists = [v for v in scope.values if v.kind in ITEMS]
        if lists and self.rng.random() < 0.4:
            like = self.rng.choice(lists)
            found.append(Value(self.name(), like.kind, like.group))
        return found

    def arm(self, scope: _Scope, targets: list[Value]) -> list[str]:
        """An arm's lines, indented."""
        lines = list(self.body(scope, self.rng.choice([0, 1, 1, 2])))
        yields = [self._yielded(scope, target) for target in targets]
        return [f"  {line}" for line in [*lines, f"yield {', '.join(yields)}"]]

    def _yielded(self, scope: _Scope, target: Value) -> str:
        found = [v.name for v in scope.of(target.kind) if v.group == target.group]
        constants = list(CONSTANTS.get(target.kind, ()))
        # What was made last is often what the arm is about.
        return self.rng.choice(found[-3:] if found and (not constants or self.rng.random() < 0.8) else constants)

    def head(self, targets: list[Value]) -> str:
        return ", ".join(target.name for target in targets)

    def flag(self, scope: _Scope) -> str | None:
        """A condition over what there is."""
        flags, singles = scope.of("flag"), scope.of("single")
        made = [v.name for v in flags] + [f"{v.name} > 50.0" for v in singles]
        return self.rng.choice(made) if made else None

    def if_(self, scope: _Scope) -> Iterator[str]:
        condition = self.flag(scope)
        if condition is None:
            return
        targets = self.targets(scope)
        chained = self.flag(scope) if self.rng.random() < 0.3 else None
        needed = chained is not None or any(f"{t.kind}?" not in TYPES for t in targets)
        whole = needed or self.rng.random() < 0.7
        yield f"{self.head(targets)} = if {condition} {{"
        yield from self.arm(scope.inner(), targets)
        if chained is not None:
            yield f"}} else if {chained} {{"
            yield from self.arm(scope.inner(), targets)
        if whole:
            yield "} else {"
            yield from self.arm(scope.inner(), targets)
        yield "}"
        scope.values += targets if whole else [Value(t.name, f"{t.kind}?") for t in targets]

    def present(self, scope: _Scope) -> Iterator[str]:
        """`if present(x)`, where `x` is there in one of the arms."""
        maybe = [v for v in scope.values if v.kind.endswith("?")]
        if not maybe:
            return
        value = self.rng.choice(maybe)
        known = Value(value.name, value.kind[:-1])
        targets = [*self.targets(scope), Value(self.name(), known.kind)]
        if not scope.of(known.kind) and known.kind not in CONSTANTS:
            return
        turned = self.rng.random() < 0.5
        yield f"{self.head(targets)} = if {'not ' if turned else ''}present({value.name}) {{"
        yield from self.arm(scope.inner() if turned else scope.inner(known), targets)
        yield "} else {"
        yield from self.arm(scope.inner(known) if turned else scope.inner(), targets)
        yield "}"
        scope.values += targets

    def match(self, scope: _Scope) -> Iterator[str]:
        subjects = [v for kind in ("number", "word", "flag") for v in scope.of(kind)]
        if not subjects:
            return
        subject, targets = self.rng.choice(subjects), self.targets(scope)
        cases = {"number": ["0", "1, 2"], "word": ['""', '"a", "aa"'], "flag": ["true", "false"]}[subject.kind]
        yield f"{self.head(targets)} = match {subject.name} {{"
        for case in cases:
            yield f"  case {case} {{"
            yield from (f"  {line}" for line in self.arm(scope.inner(), targets))
            yield "  }"
        if subject.kind != "flag":
            yield "  else {"
            yield from (f"  {line}" for line in self.arm(scope.inner(), targets))
            yield "  }"
        yield "}"
        scope.values += targets

    def map(self, scope: _Scope) -> Iterator[str]:
        lists = [v for v in scope.values if v.kind in ITEMS]
        if not lists:
            return
        first = self.rng.choice(lists)
        sources = [first]
        beside = [v for v in lists if v.group == first.group and v is not first]
        if beside and self.rng.random() < 0.4:
            sources.append(self.rng.choice(beside))
        items = [Value(self.name("i"), ITEMS[source.kind]) for source in sources]
        inner = scope.inner(*items)
        # A strip from outside has one length for all items: a list of those would be no list of strips.
        inner.values = [value for value in inner.values if value.kind != "strip" or value in items]
        on_error = self.rng.choice(["fail", "fail", "fail", "mark", "drop"])
        kinds = [value.kind for value in inner.values if value.kind in LISTS]
        targets = [Value(self.name(), kind) for kind in self.rng.choices(kinds, k=self.rng.choice([1, 2]))]
        group = self.group() if on_error == "drop" else first.group
        results = [Value(t.name, LISTS[t.kind], group) for t in targets]
        if on_error == "mark":
            results.append(Value(self.name(), "flags", group))
        options = ["max = 100"] + ([f"on_error = {on_error}"] if on_error != "fail" else [])
        options += [f"in_flight = {self.rng.choice([1, 2])}"] if self.rng.random() < 0.2 else []
        over = ", ".join(f"{item.name} in {source.name}" for item, source in zip(items, sources, strict=True))
        yield f"{self.head(results)} = map ({', '.join(options)}) {over} {{"
        yield from self.arm(inner, targets)
        yield "}"
        scope.values += results

    def route(self, scope: _Scope) -> Iterator[str]:
        keys = [v for kind in ("number", "word", "flag") for v in scope.of(kind)]
        if not keys:
            return
        targets, share = self.targets(scope), self.rng.choice([0, 50, 90])
        yield f"{self.head(targets)} = route by {self.rng.choice(keys).name} {{"
        for arm, weight in (("first", share), ("second", 100 - share)):
            yield f"  to {arm} weight {weight}% {{"
            yield from (f"  {line}" for line in self.arm(scope.inner(), targets))
            yield "  }"
        if self.rng.random() < 0.3:
            yield f"  shadow third sample {self.rng.choice([50, 100])}% {{"
            yield from (f"  {line}" for line in self.arm(scope.inner(once=False), targets))
            yield "  }"
        yield "}"
        scope.values += targets

    def try_(self, scope: _Scope) -> Iterator[str]:
        targets = self.targets(scope)
        retries = self.rng.choice([0, 0, 1, 2])
        options = (["timeout = 60s"] if self.rng.random() < 0.5 else []) + ([f"retries = {retries}"] if retries else [])
        yield f"{self.head(targets)} = try {'(' + ', '.join(options) + ') ' if options else ''}{{"
        yield from self.arm(scope.inner(once=not retries), targets)
        yield f"}} fallback {self.name('e')} {{" if self.rng.random() < 0.5 else "} fallback {"
        yield from self.arm(scope.inner(), targets)
        yield "}"
        scope.values += targets


INPUTS = (
    Value("x", "rows", "B"),
    Value("z", "rows", "B"),
    Value("v", "vector"),
    Value("w", "vector?"),
    Value("k", "word"),
)


def random_module(rng: random.Random) -> RandomModule:
    """One pipeline of two to six statements, constructs in constructs, and up to four outputs."""
    writer = _Writer(rng)
    scope = _Scope(list(INPUTS))
    lines = list(writer.body(scope, rng.randint(2, 6)))
    outputs = _outputs(scope, rng)
    ports = ", ".join(f"{value.name}: {_type(value)}" for value in outputs)
    inputs = "x: f32[B, 4], z: f32[B, 4], v: f32[4], w: f32[4]?, k: string"
    declared = [text for _, text in writer.stages.values()] + [text for text, _ in writer.pipelines.values()]
    text = "\n\n".join(["pipe 1", *declared])
    text += f"\n\npipeline p({inputs}) -> ({ports})\n  where B <= 100 {{\n"
    text += "".join(f"  {line}\n" for line in [*lines, f"return {', '.join(value.name for value in outputs)}"]) + "}\n"
    functions = {name: function for name, (function, _) in writer.stages.items()}
    return RandomModule(text, functions, [_request(rng, index) for index in range(8)])


def _outputs(scope: _Scope, rng: random.Random) -> list[Value]:
    made = [value for value in scope.values if value not in INPUTS] or scope.values
    return rng.sample(made, min(len(made), rng.randint(1, 4)))


def _type(value: Value) -> str:
    if value.kind not in ITEMS:
        return TYPES[value.kind]
    inner = {"rows": "f32[{}, 4]", "singles": "f32[{}]", "flags": "bool[{}]", "numbers": "i64[{}]"}
    beside = {"words": "string[{}]", "strips": "f32[{}, ~L_{}]"}
    return {**inner, **beside}[value.kind].format(value.group, value.name)


def _request(rng: random.Random, index: int) -> dict[str, Any]:
    """Up to 4 rows that no other request has, some poisoned; `w` for every second."""
    rows = rng.choice([0, 1, 1, 2, 3, 4])
    x = (np.arange(rows * 4).reshape(rows, 4) + index * 5).astype(np.float32) % 900
    z = (x * 3 + 1) % 900
    v = ((np.arange(4) + index * 7) % 900).astype(np.float32)
    if rows and rng.random() < 0.2:
        x[rng.randrange(rows), 0] = ROW_POISON + rng.randint(0, 400)
    inputs = {"x": x, "z": z, "v": v, "k": "ab"[: index % 3]}
    return {**inputs, "w": (v * 7 + 2) % 900} if rng.random() < 0.5 else inputs
