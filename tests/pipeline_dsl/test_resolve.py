"""Names and imports: one scope a file, everything found once, all mistakes told."""

from __future__ import annotations

from pipeline_dsl.check import check
from pipeline_dsl.check.options import Options
from pipeline_dsl.check.order import in_order
from pipeline_dsl.check.scope import ErrorBinding, ModuleBinding, PipelineBinding, StageBinding
from pipeline_dsl.diagnostics import LIMIT, Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source

from .checking import BARE, codes_of, good, options, program_of, scope_of

STAGE = 'stage {0}(x: f32[*]) -> (y: f32[*]) using python("m:{0}")'
TWICE = "pipe 1\n" + STAGE.format("twice") + "\n"


def test_imports_are_scopes_of_their_own() -> None:
    scope, sink = scope_of('import "d/m.pipe" as m\nfrom "d/m.pipe" import twice as t', options({"d/m.pipe": TWICE}))
    assert not sink.errors
    module, stage = scope.lookup("m"), scope.lookup("t")
    assert isinstance(module, ModuleBinding)
    assert isinstance(stage, StageBinding)
    assert module.scope.lookup("twice") is stage
    assert (stage.stage.name, stage.stage.folder) == ("m.twice", "d")


def test_a_diamond_is_loaded_once() -> None:
    class Counting:
        def __init__(self) -> None:
            self.read_paths: list[str] = []

        def read(self, path: str) -> Source:
            if path.endswith(".lock"):
                raise FileNotFoundError(path)
            self.read_paths.append(path)
            texts = {
                "a.pipe": 'pipe 1\nimport "c.pipe" as c\n',
                "b.pipe": 'pipe 1\nimport "./c.pipe" as c\n',
                "c.pipe": TWICE,
            }
            return Source(path, texts[path])

    loader = Counting()
    scope, sink = scope_of('import "a.pipe" as a\nimport "b.pipe" as b', Options(environ={}, loader=loader))
    assert not sink.errors
    assert sorted(loader.read_paths) == ["a.pipe", "b.pipe", "c.pipe"]
    assert len({id(s) for m in scope.imported() for s in m.imported()}) == 1


def test_the_search_path() -> None:
    files = {"lib/team/v.pipe": TWICE}
    assert codes_of('import "@team/v.pipe" as v', options(files, search_path=("other", "lib"))) == []
    assert codes_of('import "@team/v.pipe" as v', options(files)) == ["E0101"]


def test_cycles_and_depth() -> None:
    assert codes_of('import "main.pipe" as me') == ["E0102"]
    deep = {f"{i}.pipe": f'pipe 1\nimport "{i + 1}.pipe" as next\n' for i in range(40)}
    assert codes_of('import "0.pipe" as first', options(deep)) == ["E0102"]


def test_mistakes_of_an_import_are_told_with_its_own_place() -> None:
    _, sink = scope_of('import "m.pipe" as m', options({"m.pipe": "pipe 1\nconst X = Y\n"}))
    assert [(d.code, d.span.source.path) for d in sink.errors] == [("E0103", "m.pipe")]


def test_what_is_broken_is_silent_for_its_users() -> None:
    stage = STAGE.format("s").replace("f32[*])", "T)")
    text = f"const A = 1 / 0\ntype T = f32[A]\n{stage}\npipeline p(x: T) -> (y: T) {{\n  return y = s(x)\n}}"
    _, codes = program_of(text)
    assert codes == ["E0109"]


def test_what_could_not_be_imported_is_silent_for_its_users() -> None:
    text = (
        'import "no.pipe" as no\nfrom "no.pipe" import a\npipeline p(x: f32) -> (y: f32) {\n  return y = a(no.b(x))\n}'
    )
    _, codes = program_of(text)
    assert codes == ["E0101", "E0101"]


def test_a_failed_declaration_is_an_error_binding() -> None:
    scope, _ = scope_of("const A = 1 / 0")
    assert isinstance(scope.lookup("A"), ErrorBinding)


def test_names_of_stages_are_unique_in_the_program() -> None:
    files = {"a/m.pipe": TWICE, "b/m.pipe": TWICE}
    text = 'from "a/m.pipe" import twice\nfrom "b/m.pipe" import twice as other\n' + STAGE.format("m")
    text += "\npipeline p(x: f32[*]) -> (y: f32[*]) {\n  return y = m(twice(other(x)))\n}"
    assert set(good(text, options(files)).stages) == {"m", "m.twice", "m_2.twice"}


def test_pipelines_know_their_module() -> None:
    scope, _ = scope_of("private pipeline p(x: f32) -> (y: f32) {\n  return y = x\n}")
    found = scope.lookup("p")
    assert isinstance(found, PipelineBinding)
    assert found.scope is scope


def test_unused_is_told_of_a_program_and_not_of_a_library() -> None:
    library = f"const A = 1\n{STAGE.format('s')}"
    assert program_of(library)[1] == []
    program = f"{library}\npipeline p(x: f32) -> (y: f32) {{\n  return y = x\n}}"
    assert program_of(program)[1] == ["W0201", "W0201"]


def test_order_is_by_need_and_names_cycles() -> None:
    needs = {"a": ["b"], "b": ["c"], "c": [], "x": ["y"], "y": ["x"], "z": ["x", "a"]}
    order = in_order(needs, needs.__getitem__)
    assert order.items.index("c") < order.items.index("b") < order.items.index("a") < order.items.index("z")
    assert order.cycles == (("x", "y"),)


def test_names_are_compared_for_as_many_mistakes_as_are_shown() -> None:
    """Comparing thousands of mistakes with thousands of names took minutes."""
    _, sink = scope_of("".join(f"const SIZE_{i} = SIZES_{i}\n" for i in range(3 * LIMIT)))
    guessed = [bool(d.label) for d in sink.errors]
    assert len(guessed) == 3 * LIMIT
    assert all(guessed[:LIMIT])
    assert not any(guessed[LIMIT + 1 :])


def test_calls_and_values_in_pipelines_are_no_exception() -> None:
    wrong = "".join(f"  a{i} = b_{i}\n  c{i} = d_{i}(x)\n" for i in range(LIMIT))
    text = f"stage b_() -> (y: f32) using null()\npipeline p(x: f32) -> (y: f32) {{\n{wrong}  return y = x\n}}\n"
    sink = Sink()
    check(parse(Source("main.pipe", f"pipe 1\n{text}"), sink), BARE, sink)
    guessed = [bool(d.label) for d in sink.errors]
    assert len(guessed) == 2 * LIMIT
    assert any(guessed)
    assert not any(guessed[LIMIT + 1 :])
