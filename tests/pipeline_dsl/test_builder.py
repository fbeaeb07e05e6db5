"""The builder's own rules: names, values, scopes, types, settings, what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipectl
import pipeline_dsl.builder as pp
from pipeline_dsl.builder import types as t
from pipeline_dsl.diagnostics import CompileError, Diagnostic
from pipeline_dsl.errors import codes, page

f32, i64, string = t.f32, t.i64, t.string
small = pp.stage("small", pp.sig(x=f32["*", 8]).to(label=i64["*"], conf=f32["*"]), pp.onnx("small.onnx"))
scale = pp.stage("scale", pp.sig(x=f32["*"], by=f32).to(y=f32["*"]), pp.null())


def built(function: Callable[..., Any], **inputs: Any) -> str:
    """The body of a pipeline with these inputs, as text."""
    made = pp.pipeline(out=dict(y=f32), inputs=inputs, name="p")(function)
    text = pp.module(made).to_text()
    return re.search(r"pipeline p.*?\{\n(.*?)\n\}", text, re.DOTALL)[1]


def expression(function: Callable[..., Any], **inputs: Any) -> str:
    """What a pipeline returns, as text."""
    return built(lambda p, **values: function(**values), **inputs).removeprefix("  return ").removeprefix("y = ")


def refused(function: Callable[[], Any]) -> Diagnostic:
    """The one mistake that is made."""
    with pytest.raises(CompileError) as info:
        function()
    assert len(info.value.diagnostics) == 1
    return info.value.diagnostics[0]


def here(offset: int = 0) -> int:
    """The caller's line."""
    return sys._getframe(1).f_lineno + offset


# ---- expressions


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda a, b: a + b * 2, "a + b * 2"),
        (lambda a, b: (a + b) * 2, "(a + b) * 2"),
        (lambda a, b: 2 - a, "2 - a"),
        (lambda a, b: 1 / a % b, "1 / a % b"),
        (lambda a, b: -a, "-a"),
        (lambda a, b: a * -1.5, "a * -1.5"),
        (lambda a, b: (a > 0) & ~(b == 1) | (a != b), "a > 0 and not b == 1 or a != b"),
        (lambda a, b: pp.or_(pp.and_(a > 0, pp.not_(b > 0)), False), "a > 0 and not b > 0 or false"),
        (lambda a, b: a >= b, "a >= b"),
        (lambda a, b: a > 3, "a > 3"),
        (lambda a, b: pp.coalesce(a, pp.coalesce(b, 0)), "a ?? b ?? 0"),
        (lambda a, b: a[0], "a[0]"),
        (lambda a, b: a[1:, :2, b], "a[1:, :2, b]"),
        (lambda a, b: pp.select(a > 0, [a, b], {"k": a}), 'select(a > 0, [a, b], { "k": a })'),
        (lambda a, b: pp.cast(a, i64), "cast(a, i64)"),
        (lambda a, b: pp.format("{x}", x=a), 'format("{x}", x = a)'),
        (lambda a, b: pp.join(a, ", "), 'join(a, ", ")'),
        (lambda a, b: pp.len(a) + pp.len(pp.concat(a, b)), "len(a) + len(concat(a, b))"),
        (lambda a, b: pp.reshape(pp.stack(a, b), 2, 1), "reshape(stack(a, b), 2, 1)"),
        (lambda a, b: pp.json_get(a, "k") == pp.zeros(f32, 2), 'json_get(a, "k") == zeros(f32, 2)'),
        (lambda a, b: pp.present(a), "present(a)"),
        (lambda a, b: pp.header("x-user"), 'header("x-user")'),
        (lambda a, b: pp.ms(1.5) + pp.seconds(2) + pp.us(3), "1.5ms + 2s + 3us"),
        (lambda a, b: pp.percent(12.5), "12.5%"),
        (lambda a, b: pp.member(a, "in"), "a.in"),
        (lambda a, b: np.float64(0.5) < a, "a > 0.5"),
        (lambda a, b: np.int64(-3) + a, "-3 + a"),
        (lambda a, b: pp.word("f")(a, k=b), "f(a, k = b)"),
        (lambda a, b: True, "true"),
        (lambda a, b: pp.collect(pp.stream_of(a)), "collect(stream_of(a))"),
    ],
)
def test_operators_are_those_of_the_language(make: Callable[..., Any], text: str) -> None:
    assert expression(make, a=f32, b=f32) == text


def test_sides_keep_their_order_whatever_they_are() -> None:
    LIMIT = pp.param("LIMIT", f32, 0.5)
    conf = lambda a: scale(a, 1.0).y  # noqa: E731 - one line
    assert expression(lambda a: conf(a) >= LIMIT, a=f32) == "scale(a, 1.0).y >= LIMIT"
    assert expression(lambda a: a >= LIMIT, a=f32) == "a >= LIMIT"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), {1, 2}, b"x"])
def test_values_without_a_spelling_are_refused(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"pipeline"):
        expression(lambda a: a + bad, a=f32)


def test_a_number_beyond_64_bits_is_refused_where_it_stands() -> None:
    assert refused(lambda: expression(lambda a: a + 2**64, a=i64)).code == "E0008"


def test_an_endless_expression_is_refused_before_anything_recurses() -> None:
    def body(p: Any, a: Any) -> Any:
        for _ in range(5000):
            a = a + 1
        return a

    assert refused(lambda: built(body, a=f32)).code == "E0008"


# ---- names


def test_a_value_goes_by_its_name_once_it_has_one() -> None:
    def body(p: Any, x: Any) -> Any:
        s = p.s = small(x)
        p["let"] = s.conf
        p._ = scale(p["let"], 1.0)
        p._ = scale(s.conf, 2.0)
        return s.label

    assert built(body, x=f32["*", 8]).splitlines() == [
        "  s = small(x)",
        "  let = s.conf",
        "  _ = scale(let, 1.0)",
        "  _ = scale(s.conf, 2.0)",
        "  return y = s.label",
    ]


def test_another_name_leaves_the_first() -> None:
    def body(p: Any, x: Any) -> Any:
        p.a = small(x)
        p.b = p.a
        return p.a.label + p.b.label

    assert built(body, x=f32["*", 8]).splitlines()[-1] == "  return y = a.label + b.label"


def test_a_constant_keeps_its_spelling_when_it_is_named() -> None:
    HALF = pp.percent(50)

    def body(p: Any, x: Any) -> Any:
        p.h = HALF
        return HALF

    assert built(body, x=f32).splitlines() == ["  h = 50%", "  return y = 50%"]


def test_an_unknown_name_has_a_suggestion() -> None:
    def body(p: Any, image: Any) -> Any:
        p.scores = small(image)
        return p.score.label

    found = refused(lambda: built(body, image=f32["*", 8]))
    assert (found.code, found.label) == ("E0103", "did you mean `scores`?")


def test_an_input_is_a_name_as_well() -> None:
    def body(p: Any, x: Any) -> Any:
        p.x = small(p.x)

    assert refused(lambda: built(body, x=f32["*", 8])).code == "E0203"


@pytest.mark.parametrize("word", ["map", "if", "true"])
def test_reserved_words_are_no_names(word: str) -> None:
    def body(p: Any, x: Any) -> Any:
        p[word] = small(x)
        return p[word].label

    assert refused(lambda: built(body, x=f32["*", 8])).code == "E0007"


def test_names_are_names() -> None:
    with pytest.raises(ValueError, match=r"letters, digits"):
        built(lambda p, x: p.let("a b", small(x)), x=f32["*", 8])
    with pytest.raises(TypeError, match=r"names 'a', not `b`"):
        built(lambda p, x: p.let("a", small(x), b=f32), x=f32["*", 8])
    with pytest.raises(AttributeError, match=r"p\['let'\]"):
        built(lambda p, x: setattr(p, "let", small(x)), x=f32["*", 8])
    with pytest.raises(TypeError, match=r"several names"):
        built(lambda p, x: setattr(p, "a", (x, x)), x=f32)


def test_probing_a_value_does_not_use_it() -> None:
    def body(p: Any, x: Any) -> Any:
        s = small(x)
        assert not hasattr(s, "_repr_html_")
        assert not hasattr(s, "__array__")
        assert repr(s) == "<small(x)>"
        assert "small(x)" in str(s)
        return s.label

    assert built(body, x=f32["*", 8]) == "  return y = small(x).label"


# ---- what Python can not know


@pytest.mark.parametrize(
    ("use", "code", "advice"),
    [
        (lambda x: bool(x), "E0901", "pp.if_"),
        (lambda x: 0 if x else 1, "E0901", "pp.if_"),
        (lambda x: x and 1, "E0901", "`&`"),
        (lambda x: 0 or x or 1, "E0901", "`|`"),
        (lambda x: not x, "E0901", "`~`"),
        (lambda x: 0 < x < 1, "E0901", "do not chain"),
        (lambda x: 1 in x, "E0901", "pp.match_"),
        (lambda x: len(x), "E0901", "pp.len(x)"),
        (lambda x: int(x), "E0901", "pp.cast"),
        (lambda x: float(x), "E0901", "pp.cast"),
        (lambda x: range(x), "E0901", "operator"),
        (lambda x: f"{x}", "E0901", "pp.format"),
        (lambda x: list(x), "E0902", "p.let"),
        (lambda x: [i for i in x], "E0902", "pp.map_"),
        (lambda x: max(*x), "E0902", "p.let"),
    ],
)
def test_python_gets_an_answer_instead_of_a_value(use: Callable[[Any], Any], code: str, advice: str) -> None:
    found = refused(lambda: built(lambda p, x: use(x), x=f32))
    assert found.code == code
    assert advice in found.help
    assert found.span.source.path == __file__
    assert found.span.line == use.__code__.co_firstlineno


def test_while_is_told_apart() -> None:
    def body(p: Any, x: Any) -> Any:
        while x > 0:
            x = x - 1

    assert "no loops" in refused(lambda: built(body, x=f32)).help


# ---- calls


def test_every_call_is_used_once_or_named() -> None:
    def twice(p: Any, x: Any) -> Any:
        s = small(x)
        p.a = s.conf
        p.s = s
        return s.conf

    assert refused(lambda: built(twice, x=f32["*", 8])).code == "E0905"

    def unpacked(p: Any, x: Any) -> Any:
        s = small(x)
        p.let("a, b", s)
        return s.label

    assert refused(lambda: built(unpacked, x=f32["*", 8])).code == "E0905"


def test_all_forgotten_calls_are_told_at_once() -> None:
    def body(p: Any, x: Any) -> Any:
        small(x)
        pp.if_(x > 0, lambda q: 1, lambda q: 2)
        _ = small(x).label

    with pytest.raises(CompileError) as info:
        built(body, x=f32["*", 8])
    assert [d.code for d in info.value.diagnostics] == ["E0905"] * 3


def test_a_call_stays_in_the_body_that_made_it() -> None:
    def body(p: Any, x: Any) -> Any:
        s = small(x)
        p.y = pp.if_(x > 0, lambda q: s.label, lambda q: 0)

    found = refused(lambda: built(body, x=f32["*", 8]))
    assert found.code == "E0905"
    assert "pipeline `p`" in found.message


def test_a_value_of_an_arm_stays_in_the_arm() -> None:
    def body(p: Any, x: Any) -> Any:
        kept = []

        def then(q: Any) -> Any:
            q.s = small(x)
            kept.append(q.s)
            return q.s.label

        p.y = pp.if_(x > 0, then, lambda q: 0)
        return kept[0].label

    found = refused(lambda: built(body, x=f32["*", 8]))
    assert (found.code, "body of `if_`" in found.message) == ("E0903", True)


def test_a_scope_that_is_done_takes_no_names() -> None:
    scopes = []
    built(lambda p, x: scopes.append(p) or x, x=f32)
    with pytest.raises(CompileError, match="built already"):
        scopes[0].y = 1


def test_options_versions_and_sub_pipelines() -> None:
    inner = pp.pipeline(out=dict(y=f32["*"]), inputs=dict(x=f32["*"]), name="inner")(lambda p, x: scale(x, by=2.0))

    def body(p: Any, x: Any) -> Any:
        p.a = scale.at(3)(x, 1.0).with_(timeout=pp.ms(50), priority=1)
        p.b = inner(p.a)
        return scale.at("latest")(p.b, 1.0)

    assert built(body, x=f32["*"]).splitlines() == [
        "  a = scale@3(x, 1.0) with (timeout = 50ms, priority = 1)",
        "  b = inner(a)",
        "  return y = scale@latest(b, 1.0)",
    ]


def test_what_is_used_is_collected_in_the_order_of_a_file() -> None:
    B = pp.const("B", 4)
    A = pp.param(  # noqa: F841 - named by the text of a bound
        "A", f32, B / 2, min=0, max=1, oneof=[0, 1]
    )
    Row = pp.type_alias("Row", f32["*", B])
    other = pp.stage("other", pp.sig(x=Row).to(y=f32["*"]), pp.null(), where=[B * 2 > 1, "B < A"])
    like = pp.stage("same", other, pp.null(), fuse=[other])
    pipe = pp.pipeline(out=dict(y=f32["*"]), inputs=dict(x=Row), name="p", where=["B > 1"])(lambda p, x: like(x))
    unused = pp.const("UNUSED", 1)
    text = pp.module(pipe, unused).to_text()
    assert re.findall(r"^(?:const|param|type|stage|pipeline) \w+", text, re.M) == [
        "const B",
        "param A",
        "type Row",
        "const UNUSED",
        "stage other",
        "stage same",
        "pipeline p",
    ]
    assert "stage same like other" in text
    assert "where B * 2 > 1, B < A" in text
    assert pp.parse(text) == pp.module(unused, pipe)


def test_strings_find_the_names_around_them() -> None:
    ROOT = pp.param("ROOT", string, "models")
    by_text = pp.stage("a", pp.sig(x=f32["*"]).to(y=f32["*"]), pp.onnx("${ROOT}/a.onnx"))
    by_format = pp.stage("b", pp.sig(x=f32["*"]).to(y=f32["*"]), pp.onnx(f"{ROOT}/b.onnx"))
    pipe = pp.pipeline(out=dict(y=f32["*"]), inputs=dict(x=f32["*"]), name="p")(lambda p, x: by_format(by_text(x)))
    m = pp.module(pipe)
    assert m.check() == ()
    assert 'param ROOT: string = "models"' in m.to_text()
    assert '"${ROOT}/b.onnx"' in m.to_text()


# ---- constructs


def test_constructs_have_one_form_each() -> None:
    def body(p: Any, x: Any, n: Any) -> Any:
        p.a = pp.if_(n > 0, lambda q: 1, pp.if_(n < 0, lambda q: 2, lambda q: 3))
        p.b = pp.match_(n, {0: lambda q: dict(b=1), (1, 2): lambda q: x})
        p.let("c, ok", pp.map_(lambda q, row: row, row=x, on_error="mark"))
        p.d = pp.try_(lambda q: x, timeout=pp.ms(1), fallback=lambda q: n)
        p.e = pp.route_(pp.arm("one", lambda q: n, weight=1), pp.shadow("two", lambda q: None))
        return p.e

    assert built(body, x=f32["N"], n=i64) == EVERY_CONSTRUCT


EVERY_CONSTRUCT = """\
  a = if n > 0 {
    yield 1
  } else if n < 0 {
    yield 2
  } else {
    yield 3
  }
  b = match n {
    case 0 {
      yield b = 1
    }
    case 1, 2 {
      yield x
    }
  }
  c, ok = map (on_error = mark) row in x {
    yield row
  }
  d = try (timeout = 1ms) {
    yield x
  } fallback {
    yield n
  }
  e = route {
    to one weight 1 {
      yield n
    }
    shadow two {}
  }
  return y = e"""


def test_a_construct_needs_its_bodies_and_sources() -> None:
    with pytest.raises(TypeError, match=r"functions for its bodies"):
        built(lambda p, x: setattr(p, "a", pp.if_(x > 0, 1)), x=f32)
    with pytest.raises(TypeError, match=r"no source for `row`"):
        built(lambda p, x: setattr(p, "a", pp.map_(lambda q, row: row, rows=x)), x=f32["N"])
    with pytest.raises(TypeError, match=r"needs a weight"):
        built(lambda p, x: setattr(p, "a", pp.route_(pp.arm("a", lambda q: x, weight=None))), x=f32)


def test_a_construct_is_no_value() -> None:
    def inside(p: Any, x: Any) -> Any:
        p.a = pp.if_(x > 0, lambda q: pp.if_(x > 1, lambda r: 1, lambda r: 2), lambda q: 3)

    assert refused(lambda: built(inside, x=f32)).code == "E0905"
    assert refused(lambda: pp.if_(True, lambda q: 1)).code == "E0903"


# ---- types


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: f32, "f32"),
        (lambda: f32["*", "~L", 384], "f32[*, ~L, 384]"),
        (lambda: f32["N"], "f32[N]"),
        (lambda: t.u8["H", "2*W+1", "(H+1)/2"], "u8[H, 2*W+1, (H+1)/2]"),
        (lambda: f32["?", ..., "~(2*L)"], "f32[?, ..., ~2*L]"),
        (lambda: t.opt(f32["S"]), "f32[S]?"),
        (lambda: t.stream(string), "stream string"),
        (lambda: t.bool, "bool"),
        (lambda: t.type_of("f32[*, 3]?"), "f32[*, 3]?"),
    ],
)
def test_types_are_spelled_as_in_text(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text
    assert make() == t.type_of(text)


@pytest.mark.parametrize(
    "make", [lambda: f32["N"]["M"], lambda: t.opt(f32)["N"], lambda: f32[1.5], lambda: f32["N, M"]]
)
def test_types_that_can_not_be_are_type_errors(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        make()


def test_a_size_with_a_syntax_error_is_told_at_the_string() -> None:
    line = here(1)
    found = refused(lambda: f32["N +"])
    assert (found.code, found.span.line) == ("E0002", line)


def test_inputs_need_types() -> None:
    def body(p: Any, x) -> None: ...

    with pytest.raises(TypeError, match=r"input `x` of `body` needs a type"):
        pp.pipeline(out=dict(y=f32))(body)
    with pytest.raises(TypeError, match=r"type like f32"):
        pp.sig(x=3)


def test_defaults_and_documents_of_ports() -> None:
    @pp.pipeline(out=dict(y=pp.port(f32["*"], doc="scaled")))
    def scaled(p, x: pp.port(f32["*"], doc="what"), by: f32 = 2.0, k: t.opt(i64) = None):
        """Scales."""
        return dict(y=scale(x, by))

    text = pp.module(scaled).to_text()
    assert "## Scales.\npipeline scaled(" in text
    assert "by: f32 = 2.0" in text
    assert "k: i64? = null" in text
    assert "## what" in text
    assert "## scaled" in text


# ---- settings


def test_settings_take_words_numbers_and_blocks() -> None:
    pipe = pp.pipeline(out=dict(y=f32["*"]), inputs=dict(x=f32["*"]), name="p")(lambda p, x: scale(x, 1.0))
    base = pp.profile("base", doc="what all share")
    base.everywhere.set(device="cpu", isolate="process")
    gpu = pp.profile("gpu", extends=[base])
    gpu[scale].set(batching=dict(delay="auto", max=8))
    gpu[scale].set(warmup=dict(data="zero"), limit={"resource.gpu": 1})
    gpu[scale.at(2)].set(device=pp.cuda(1), queue=dict(level={1: dict(max=5)}))
    gpu[pipe].set(timeout=pp.hours(1), max_bytes=pp.KB(5))
    gpu["p.node"].set(cache=dict(size=pp.GiB(1), key=["x"]), **{"a b": "text"})
    text = pp.module(pipe, profiles=[gpu]).to_text()
    assert text[text.index("## what") :] == PROFILES


PROFILES = """\
## what all share
profile base {
  * { device = cpu, isolate = process }
}

profile gpu extends base {
  scale {
    batching { delay = auto, max = 8 }
    warmup { data = zero }
    limit { resource.gpu = 1 }
  }
  scale@2 {
    device = cuda(1)
    queue {
      level {
        "1" { max = 5 }
      }
    }
  }
  p { timeout = 1h, max_bytes = 5KB }
  p.node {
    cache { size = 1GiB, key = ["x"] }
    "a b" = "text"
  }
}
"""


def test_settings_of_a_pipeline_belong_to_profiles() -> None:
    with pytest.raises(TypeError, match=r"`timeout` is set in a profile"):
        pp.pipeline(out=dict(y=f32), timeout=pp.ms(5))


def test_a_profile_is_about_something() -> None:
    with pytest.raises(TypeError, match=r"stages, pipelines and their nodes"):
        pp.profile("gpu")[3]
    with pytest.raises(TypeError, match=r"needs a backend"):
        pp.stage("s", pp.sig(x=f32))
    with pytest.raises(TypeError, match=r"list of bounds"):
        pp.stage("s", pp.null(), where="L < 5")
    with pytest.raises(TypeError, match=r"a module is made of"):
        pp.module(3)


@pytest.mark.parametrize("count", [-1, float("nan"), 10**30])
def test_units_are_finite_and_not_negative(count: float) -> None:
    with pytest.raises(ValueError, match=r"can not be written"):
        pp.seconds(count)


# ---- python code


def importable(*, x: Any) -> Any:
    return x


def test_a_function_goes_by_its_name() -> None:
    made = pp.stage("s", pp.sig(x=f32).to(y=f32), pp.python(importable, each=True, arrays="torch"))
    pipe = pp.pipeline(out=dict(y=f32), inputs=dict(x=f32), name="p")(lambda p, x: made(x))
    assert f'using python("{__name__}:importable", each = true, arrays = torch)' in pp.module(pipe).to_text()


@pytest.mark.parametrize("local", [lambda *, x: x, Diagnostic.__repr__, lambda: None])
def test_local_code_is_refused_by_text_check_and_load(local: Callable[..., Any]) -> None:
    made = pp.stage("s", pp.sig(x=f32).to(y=f32), pp.python(local))
    m = pp.module(pp.pipeline(out=dict(y=f32), inputs=dict(x=f32), name="p")(lambda p, x: made(x)))
    for use in (m.to_text, m.check, lambda: pipectl.compile(m)):
        assert refused(use).code == "E0904"


# ---- modules


def test_a_module_is_its_tree() -> None:
    text = "pipe 1\n\nconst A = 1\n"
    m = pp.parse(text, "a.pipe")
    assert (m.path, m.to_text()) == ("a.pipe", text)
    assert m == pp.parse("pipe 1\nconst A = 1") != pp.parse("pipe 1\nconst A = 2")
    assert len({m, pp.parse(text)}) == 1
    assert m.check() == ()
    with pytest.raises(CompileError):
        pp.parse("pipe 1\nconst A =")


def test_relative_paths_start_from_the_file_of_the_module() -> None:
    assert pp.module(small).path == __file__
    assert pp.module(small, path="models/x.py").path == "models/x.py"


def test_it_compiles_and_takes_params() -> None:
    N = pp.param("N", i64, 3)
    pipe = pp.pipeline(out=dict(y=i64), inputs=dict(x=i64), name="p")(lambda p, x: x + N)
    m = pp.module(pipe)
    assert m.check() == ()
    assert [d.code for d in pp.module(pipe, small).check()] == ["W0201"]
    assert pipectl.compile(m, params={"N": 5}).params["N"].value == 5
    with pytest.raises(CompileError):
        m.check(params={"N": "many"})


# ---- the public face


def test_every_public_name_is_in_pipectl_and_documented() -> None:
    for name in pp.__all__:
        assert getattr(pipectl, name) is getattr(pp, name)
        made = getattr(pp, name)
        assert isinstance(made, pp.Value) or made.__doc__, name
    functions = [getattr(pp, name) for name in pp.__all__ if name.islower()]
    assert [f.__name__ for f in functions if not isinstance(f, pp.Value) and "(" not in f.__doc__] == []


@pytest.mark.parametrize("code", [c for c, entry in codes().items() if entry.where == "builder"])
def test_the_examples_of_a_page_are_what_they_say(code: str) -> None:
    wrong, right = re.findall(r"```python\n(.*?)```", page(code), re.DOTALL)
    with pytest.raises(CompileError) as info:
        exec(compile(wrong, "wrong.py", "exec"), {"__name__": "wrong"})
    assert {d.code for d in info.value.diagnostics} == {code}
    exec(compile(right, "right.py", "exec"), {"__name__": "right", "print": str})


def test_a_script_may_offer_its_own_functions(tmp_path: Path) -> None:
    script = tmp_path / "doubling.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.splitlines() == ["doubling:double", "[2.0, 4.0]"], done.stderr


SCRIPT = """
import pipectl as pp
from pipectl.types import f32

def double(*, x):
    return x * 2

stage = pp.stage("double", pp.sig(x=f32["*"]).to(y=f32["*"]), pp.python(double))

@pp.pipeline(out=dict(y=f32["*"]))
def run(p, x: f32["*"]):
    return dict(y=stage(x))

if __name__ == "__main__":
    m = pp.module(run)
    print("doubling:double" if "doubling:double" in m.to_text() else m.to_text())
    with pp.load(m) as app:
        print(app["run"](x=[1.0, 2.0])["y"].tolist())
"""


@pytest.mark.parametrize("name", ["my-model", "a b", "größe", ""])
@pytest.mark.parametrize(
    "use",
    [
        lambda name: pp.stage(name, pp.sig(x=f32).to(y=f32), pp.null()),
        lambda name: pp.const(name, 3),
        lambda name: pp.param(name, f32, 3.0),
        lambda name: pp.type_alias(name, f32[4]),
        lambda name: pp.import_("x.pipe", name),
        lambda name: pp.profile(name),
        lambda name: built(lambda p, x: p.__setitem__(name, x), x=f32),
    ],
)
def test_names_are_what_text_can_say(use: Callable[[Any], Any], name: object) -> None:
    """They were taken, ran, and `to_text` failed without a place."""
    with pytest.raises(ValueError, match="names are letters, digits and `_`, found"):
        use(name)


def test_names_of_ports_and_pipelines_too() -> None:
    with pytest.raises(ValueError, match="found 'x-y'"):
        pp.sig(**{"x-y": f32}).to(y=f32)
    with pytest.raises(ValueError, match="found 'my-pipeline'"):
        pp.pipeline(out=dict(y=f32), name="my-pipeline", inputs=dict(x=f32))(lambda p, x: x)


def test_a_function_without_a_scope() -> None:
    with pytest.raises(TypeError, match="takes its scope first"):
        pp.pipeline(out=dict(y=f32))(lambda: 1.0)


def test_what_is_neither_a_path_nor_a_module_is_not_compiled() -> None:
    with pytest.raises(TypeError, match="a path or a module is compiled, found 3"):
        pipectl.load(3)  # type: ignore[arg-type]  # the mistake
