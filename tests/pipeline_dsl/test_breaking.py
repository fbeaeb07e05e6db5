"""Which changes of a pipeline's ports break its callers, and which do not."""

from __future__ import annotations

import pytest

from pipeline_dsl import render
from pipeline_dsl.breaking import breaking
from pipeline_dsl.check import Options
from pipeline_dsl.check.endpoints import endpoints_of
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source, Span
from tests.goldens import GOLDEN, compare


def broken(old: str, new: str) -> list[str]:
    """What is told of two texts of pipelines without bodies."""
    found = []
    for path, text in (("old.pipe", old), ("new.pipe", new)):
        sink = Sink()
        module = parse(Source(path, f"pipe 1\n{text}\n"), sink)
        found.append(endpoints_of(module, Options(environ={}), sink))
        assert not sink.errors, [d.message for d in sink.errors]
    place = Span(Source("new.pipe", "pipe 1\n"), 0, 0)
    return [b.diagnostic().message.partition(": ")[2] for b in breaking(*found, place)]


def ports(inputs: str = "x: f32", outputs: str = "y: f32", where: str = "") -> str:
    return f"pipeline p({inputs}) -> ({outputs}){where} {{\n}}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ports(), ports()),
        (ports(), ports() + "\n" + ports().replace("p(", "q(")),
        (ports(), ports("x: f32, k: i32 = 3, o: f32[N]?")),
        (ports(), ports("x: f32 = 1.0")),
        (ports("x: f32"), ports("x: f32?")),
        (ports("x: f32[3]"), ports("x: f32[N]")),
        (ports("x: f32[3]"), ports("x: f32[?]")),
        (ports("x: f32[3]"), ports("x: f32[...]")),
        (ports("x: f32[N, M]"), ports("x: f32[A, B]")),
        (ports("x: f32[N], z: f32[N]"), ports("x: f32[A], z: f32[B]")),
        (ports("x: f32[*, 3]", "y: f32[*]"), ports("x: f32[N, 3]", "y: f32[N]")),
        (ports("x: string"), ports("x: bytes")),
        (ports("x: json"), ports("x: string")),
        (ports(outputs="y: f32"), ports(outputs="z: f32, y: f32")),
        (ports(outputs="y: f32?"), ports(outputs="y: f32")),
        (ports(outputs="y: f32[N]"), ports(outputs="y: f32[4]")),
        (ports(outputs="y: bytes"), ports(outputs="y: json")),
        (ports("x: f32[N]", where="\n  where N <= 8\n"), ports("x: f32[N]", where="\n  where N <= 9\n")),
        (ports("x: f32[4]"), ports("x: f32[N]", where="\n  where N <= 4\n")),
        ("private " + ports(), "pipeline q(x: f32) -> (y: f32) {\n}"),
    ],
)
def test_what_callers_do_not_notice(old: str, new: str) -> None:
    assert broken(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (ports(), "pipeline q(x: f32) -> (y: f32) {\n}", "it is gone, or not public any more"),
        (ports(), "private " + ports(), "it is gone, or not public any more"),
        (ports(), ports("z: f32 = 1.0"), "input `x` is gone: requests that bring it are refused"),
        (ports(), ports("x: f32, k: i32"), "input `k` is new, and requests must bring it"),
        (ports("x: f32 = 1.0"), ports("x: f32"), "input `x` must be given now"),
        (ports("x: f32?"), ports("x: f32"), "input `x` must be given now"),
        (ports("x: f32"), ports("x: f64"), "input `x` was f32 and is f64: the dtype is another"),
        (ports("x: bytes"), ports("x: string"), "input `x` was bytes and is string: the dtype is another"),
        (ports("x: f32[N]"), ports("x: f32[3]"), "3 items are wanted, any number come"),
        (ports("x: f32[3]"), ports("x: f32[4]"), "4 items are wanted, 3 come"),
        (ports("x: f32[3]"), ports("x: f32[3, 3]"), "the number of dims is another"),
        (ports("x: f32[...]"), ports("x: f32[N]"), "the number of dims is another"),
        (ports("x: f32[N, L]"), ports("x: f32[N, ~L]"), "lengths of rows are sent beside it"),
        (
            ports("x: f32[N], z: f32[M]"),
            ports("x: f32[N], z: f32[N]"),
            "`N` of inputs `x` and `z` must be one size now",
        ),
        (ports("x: f32[N]"), ports("x: f32[N]", where="\n  where N <= 8\n"), "`N` of input `x` may be 8 at most"),
        (
            ports("x: f32[N]", where="\n  where N <= 8\n"),
            ports("x: f32[N]", where="\n  where N < 8\n"),
            "`N` of input `x` may be 7 at most",
        ),
        (ports(), ports(outputs="z: f32"), "output `y` is gone"),
        (ports(), ports(outputs="y: f32?"), "output `y` may be absent now"),
        (ports(outputs="y: f32[4]"), ports(outputs="y: f32[N]"), "output `y` was f32[4] and is f32[N]: "),
        (ports(outputs="y: json"), ports(outputs="y: string"), "output `y` was json and is string: "),
        (ports(), ports(outputs="y: stream f32"), "a stream is read another way than a single answer"),
        (
            ports(),
            "pipeline p(x: f32) -> (y: f32) {\n  sequence { id = correlation_id }\n}",
            "requests need a sequence id now",
        ),
    ],
)
def test_what_breaks(old: str, new: str, message: str) -> None:
    found = broken(old, new)
    assert len(found) == 1
    assert message in found[0]


def test_both_places_are_shown() -> None:
    """As in `tests/golden/breaking/scale.txt`."""
    folder = GOLDEN / "breaking"
    found = []
    for name in ("scale_old.pipe", "scale_new.pipe"):
        module = parse(Source(name, (folder / name).read_text(encoding="utf-8")), Sink())
        found.append(endpoints_of(module, Options(environ={}), Sink()))
    place = Span(Source("scale_new.pipe", (folder / "scale_new.pipe").read_text(encoding="utf-8")), 0, 0)
    diagnostics = sorted((b.diagnostic() for b in breaking(*found, place)), key=lambda d: d.sort_key)
    compare(folder / "scale.txt", render.text(diagnostics))
