"""Random pipelines over streams: what an engine gives is what plain lists give, whoever reads how fast."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from .streaming import PATIENCE, running

BROKEN = 'stage broken(n: i64) -> (s: stream i64) using null(fail = "all")\n'
List = Callable[[int], list[int]]


@dataclass
class Program:
    """Statements, and each stream's elements as a function of the input `n`."""

    chance: random.Random
    lines: list[str] = field(default_factory=list)
    streams: dict[str, List] = field(default_factory=dict)
    values: dict[str, List] = field(default_factory=dict)
    """Collected: lists that are plain outputs."""

    def name(self) -> str:
        return f"v{len(self.streams) + len(self.values)}"

    def add(self) -> None:
        """One more statement."""
        makers = [self._source, self._map, self._map, self._drop, self._branch, self._try, self._collect, self._known]
        self.chance.choice(makers)()

    def _any(self) -> tuple[str, List]:
        if not self.streams:
            self._source()
        name = self.chance.choice(sorted(self.streams))
        return name, self.streams[name]

    def _new(self, text: str, elements: List) -> None:
        name = self.name()
        self.lines.append(f"{name} = {text}")
        self.streams[name] = elements

    def _source(self) -> None:
        k = self.chance.choice([0, 1, 5, 70, 150])
        self._new(f"numbers(n + {k})", lambda n: list(range(n + k)))

    def _known(self) -> None:
        values = [self.chance.randrange(9) for _ in range(self.chance.randrange(1, 4))]
        self._new(f"stream_of({', '.join(map(str, values))})", lambda n: values)

    def _map(self) -> None:
        source, elements = self._any()
        k = self.chance.randrange(5)
        window = self.chance.choice(["", "(in_flight = 2) "])
        body = self.chance.choice(["double(x)", "2 * x"])
        self._new(f"map {window}x in {source} {{\n yield {body} + {k}\n}}", lambda n: [2 * x + k for x in elements(n)])

    def _drop(self) -> None:
        source, elements = self._any()
        text = f"map (on_error = drop) x in {source} {{\n yield picky(x)\n}}"
        self._new(text, lambda n: [x for x in elements(n) if x % 5])

    def _branch(self) -> None:
        (one, first), (two, second) = self._any(), self._any()
        k = self.chance.randrange(6)
        text = f"if n > {k} {{\n yield {one}\n}} else {{\n yield {two}\n}}"
        self._new(text, lambda n: first(n) if n > k else second(n))

    def _try(self) -> None:
        bad = self.chance.random() < 0.5
        text = f"try {{\n yield {'broken(n)' if bad else 'numbers(n)'}\n}} fallback {{\n yield stream_of(n, 7)\n}}"
        self._new(text, lambda n: [n, 7] if bad else list(range(n)))

    def _collect(self) -> None:
        source, elements = self._any()
        name = self.name()
        self.lines.append(f"{name} = collect({source})")
        self.values[name] = elements

    def text(self) -> str:
        """The pipeline; all streams and values are outputs."""
        sizes = {name: f"i64[N{i}]" for i, name in enumerate(self.values)}
        outputs = {**dict.fromkeys(self.streams, "stream i64"), **sizes}
        ports = ", ".join(f"{name}: {kind}" for name, kind in outputs.items())
        body = "\n".join([*self.lines, f"return {', '.join(outputs)}"])
        return f"{BROKEN}\npipeline p(n: i64) -> ({ports}) {{\n{body}\n}}\n"


@pytest.mark.parametrize("seed", range(40))
def test_engine_and_lists_agree(seed: int) -> None:
    chance = random.Random(seed)
    program = Program(chance)
    for _ in range(chance.randrange(2, 8)):
        program.add()
    if not program.streams:
        program.add()
    with running(program.text()) as scene:
        for n in (0, 3, 80):
            wanted = None if chance.random() < 0.7 else chance.sample(sorted(program.streams), 1)
            answer = scene.send(n=n, _outputs=wanted)
            names = [name for name in program.streams if name in answer]
            assert _read(answer, names) == {name: program.streams[name](n) for name in names}
            answer.wait()
            if wanted is None:
                assert {name: answer[name].tolist() for name in program.values} == {
                    name: elements(n) for name, elements in program.values.items()
                }


def _read(answer: Any, names: list[str]) -> dict[str, list[int]]:
    """All streams side by side, each in a thread of its own."""
    found: dict[str, list[int]] = {name: [] for name in names}
    threads = [threading.Thread(target=lambda n=name: found[n].extend(answer[n])) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), found
    return found
