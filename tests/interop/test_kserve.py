"""InferenceGraphs: what they become, and those that are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipectl.__main__ import run
from pipectl.errors import ConversionError
from pipectl.interop.kserve.conditions import condition_of
from pipectl.interop.kserve.importing import imported
from pipectl.interop.kserve.reading import MIB, read_graphs
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_text
from pipeline_dsl.unparse import expression, to_text

FOLDER = Path(__file__).parent / "kserve"


def graph(steps: str, router: str = "Sequence") -> str:
    root = f"{{routerType: {router}, steps: {steps}}}"
    return f"kind: InferenceGraph\nmetadata: {{name: g}}\nspec:\n  nodes:\n    root: {root}\n"


def read(text: str | bytes, folder: Path) -> str:
    path = folder / "g.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return to_text(imported(read_graphs(path))[0])


def codes(text: str) -> set[str]:
    return {d.code for d in check_text(text, Options(environ={}))[1].sorted()}


def test_every_router(tmp_path: Path) -> None:
    """As in `every_router.pipe`; PIPECTL_BLESS=1 writes it anew."""
    made = tmp_path / "made.pipe"
    assert run(["import", "kserve", str(FOLDER / "every_router.yaml"), "-o", str(made)]) == 0
    expected = FOLDER / "every_router.pipe"
    if os.environ.get("PIPECTL_BLESS") == "1":
        expected.write_text(made.read_text())
    assert made.read_text() == expected.read_text()
    assert codes(made.read_text()) <= {"E0599"}


def test_a_sequence_of_calls_is_right_as_it_is(tmp_path: Path) -> None:
    text = read(graph("[{serviceName: a}, {serviceName: b, data: $response}, {serviceName: a}]"), tmp_path)
    assert "step_2 = b(step_1)" in text
    assert "step_3 = a(request)" in text
    assert codes(text) <= {"W0201"}


@pytest.mark.parametrize("router", ["Sequence", "Switch", "Ensemble", "Splitter"])
def test_a_soft_step_has_a_fallback(router: str, tmp_path: Path) -> None:
    step = "{serviceName: a, dependency: Soft, weight: 1, condition: x}"
    text = read(graph(f"[{step}, {step}]", router), tmp_path)
    assert text.count("fallback error") == 2


def test_a_switch_with_a_step_for_everything_else(tmp_path: Path) -> None:
    text = read(graph("[{serviceName: a, condition: x}, {serviceName: b}, {serviceName: c}]", "Switch"), tmp_path)
    assert "no condition" not in text
    assert "stage c(" not in text


def test_weights_that_are_no_percentages_are_relative(tmp_path: Path) -> None:
    text = read(graph("[{serviceName: a, weight: 1}, {serviceName: b, weight: 2}]", "Splitter"), tmp_path)
    assert "to a weight 1 {" in text
    assert "to b weight 2 {" in text


def test_several_graphs_in_a_file_share_services(tmp_path: Path) -> None:
    one = graph("[{serviceName: a}]")
    text = read(f"{one}---\n{one.replace('name: g', 'name: h')}---\nkind: Other\n", tmp_path)
    assert text.count("stage a(") == 1
    assert "\npipeline g(" in text
    assert "\npipeline h(" in text


@pytest.mark.parametrize(
    ("condition", "made"),
    [
        ("user.name", 'present(json_get(r, "user.name"))'),
        ('[@this].#(tier=="gold")', 'format("{value}", value = json_get(r, "tier")) == "gold"'),
        ("[@this].#(a.0.b!=true)", 'format("{value}", value = json_get(r, "a.0.b")) != "true"'),
        ("[@this].#(n>=-2.5)", 'present(json_get(r, "n")) and cast(json_get(r, "n") ?? 0, f64) >= -2.5'),
        (r'[@this].#(a=="b\"c")', r'format("{value}", value = json_get(r, "a")) == "b\"c"'),
        ('instances.#(x=="1")', None),
        ("[@this].#(a==b)", None),
        ("[@this].#(a==nan)", None),
        ("a.#", None),
        ('[@this].#(a%"x*")', None),
    ],
)
def test_conditions(condition: str, made: str | None) -> None:
    found = condition_of(condition, "r")
    assert (None if found is None else expression(found)) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "g.yaml:1:"),
        ("a: 1\na: 2", "g.yaml:2:1: `a` is there twice"),
        ("kind: Deployment", "there is no InferenceGraph in it"),
        (b"a: \xff", "g.yaml:1: byte 3 is no UTF-8"),
        ("#" * ((MIB << 20) + 1), "it is larger than 1 MiB"),
        ("[" * 100_000, "g.yaml"),
        ("!!python/object/apply:os.system [ls]", "g.yaml:1:1: could not determine a constructor"),
        (graph("[]"), "node `root`: steps needs a list of steps"),
        (graph("[1]"), "node `root`: steps needs a list of steps"),
        (graph("[{serviceName: a}]", "Sequencer"), "there is no routerType `Sequencer`; did you mean `Sequence`?"),
        (
            graph("[{serviceNam: a}]"),
            "step 1: there is no field `serviceNam`; did you mean `serviceName`?",
        ),
        (graph("[{serviceNam: a}]"), "node `root`, step 1 has no target"),
        (graph("[{serviceName: a, nodeName: root}]"), "has 2 targets (serviceName, nodeName)"),
        (graph("[{nodeName: rot}]"), "node `root`, step 1: there is no node `rot`; did you mean `root`?"),
        (graph("[{nodeName: root}]"), "nodes call each other: `root` -> `root`"),
        (graph("[{serviceName: a}]", "Splitter"), "weight needs a whole number from 1 up, found 0"),
        (graph("[{serviceName: a, data: $all}]"), "data is `$all`; it can be `$request` or `$response`"),
        (graph("[{serviceName: a, dependency: hard}]"), "dependency is `hard`; it can be `Hard` or `Soft`"),
        (graph("[{serviceName: a, name: n}, {serviceName: b, name: n}]"), "two steps are called `n`"),
        (graph("[{serviceName: a}]").replace("root", "start"), "graph `g` has no node `root`; "),
        (graph("[{serviceName: a}]").replace("spec:", "spec:\n  timeout: soon"), "timeout needs whole seconds"),
        (
            graph("[{serviceName: a, condition: 'x.#(y)'}]", "Switch"),
            "graph `g`, node `root`, step 1: the condition `x.#(y)` has no equal here",
        ),
    ],
)
def test_a_graph_that_is_refused(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        read(text, tmp_path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "kserve", str(tmp_path / "none.yaml")]) == 3
    assert "no such file" in capsys.readouterr().err
