"""Stages that stream: what a python generator may yield and return, its checks, its clean-up; null streams."""

import sys

import numpy as np
import pytest

from backends import BackendError, InvalidInput, load
from backends.checks import OutputError
from backends.generators import StreamCheck, check_of
from backends.importer import forget
from backends.null import NullError
from backends.process import load_isolated
from backends.streams import ElementStream
from tests.backends.stages import batch, config, stage


@pytest.fixture
def run(tmp_path):
    """Calls python code as a stage and gives its checked elements."""
    made = []

    def run(text, *inputs, inputs_of="n: i64", outputs="t: stream string", artifact="streaming:f", **arguments):
        (tmp_path / "streaming.py").write_text("import numpy as np\nimport torch\n" if "torch" in text else "")
        with (tmp_path / "streaming.py").open("a") as file:
            file.write(text)
        plan = stage("python", inputs_of, outputs, folder=tmp_path, artifact=artifact, **arguments)
        instance = load("python").load(plan, config())
        made.append(instance)
        given = batch(*inputs, rows=1)
        return check_of(plan)(given, instance.execute(given)).elements

    yield run
    for instance in made:
        instance.close()
    forget(tmp_path)


def drain(elements):
    found = []
    while True:
        try:
            found.append(next(elements))
        except StopIteration as stop:
            return found, stop.value


LOG = """
log = []
def f(*, n):
    log.append("begin")
    try:
        for i in range(n):
            yield f"part {i}"
        log.append("end")
    finally:
        log.append("clean")
"""


def log_of(elements):
    return sys.modules["streaming"].log


def test_one_output_is_yielded_as_it_is(run):
    assert drain(run(LOG, 3)) == ([("part 0",), ("part 1",), ("part 2",)], ())
    assert log_of(run) == ["begin", "end", "clean"]


def test_the_code_begins_when_it_is_advanced(run):
    elements = run(LOG, 3)
    assert log_of(run) == []
    next(elements)
    assert log_of(run) == ["begin"]


@pytest.mark.parametrize("advanced", [1, 2, 3])
def test_its_clean_up_runs_once_when_it_is_closed(run, advanced):
    elements = run(LOG, 3)
    for _ in range(advanced):
        next(elements)
    elements.close()
    elements.close()
    assert log_of(run) == ["begin", "clean"]


def test_several_outputs_are_tuples_or_dicts_and_plain_ones_are_returned(run):
    text = """
def f(*, n):
    yield "a", 1
    yield {"score": 2, "t": "b"}
    return 3.5
"""
    found = drain(run(text, 1, outputs="t: stream string, total: f64, score: stream i64"))
    assert found == ([("a", 1), ("b", 2)], (3.5,))


def test_a_class_may_stream_and_call_itself_again(run):
    text = """
class Counter:
    def __init__(self, start):
        self.at = start
    def __call__(self, *, n):
        for _ in range(n):
            self.at += 1
            yield str(self.at)
"""
    assert drain(run(text, 2, artifact="streaming:Counter", start=4)) == ([("5",), ("6",)], ())


def test_elements_are_brought_to_their_dtype_and_closed_for_writing(run):
    text = """
def f(*, n):
    yield [1, 2]
    yield (3, 4)
"""
    found, _ = drain(run(text, 1, outputs="y: stream f32[2]"))
    assert [v.dtype for (v,) in found] == [np.float32, np.float32]
    assert not any(v.flags.writeable for (v,) in found)


@pytest.mark.parametrize(
    ("item", "outputs", "words"),
    [
        ("7", "t: stream string", "output `t`"),
        ("[1, 2, 3]", "y: stream f32[2]", "output `y`"),
        ("('a',)", "t: stream string, u: stream string", "a tuple of 2"),
        ("None", "t: stream string", "output `t`"),
    ],
)
def test_an_element_of_the_wrong_kind_names_stage_and_output(run, item, outputs, words):
    text = f"""
log = []
def f(*, n):
    try:
        yield {item}
    finally:
        log.append("clean")
"""
    elements = run(text, 1, outputs=outputs)
    with pytest.raises(OutputError, match=words):
        next(elements)
    assert log_of(run) == ["clean"]


def test_sizes_of_elements_follow_the_inputs(run):
    text = """
def f(*, x):
    yield x
    yield x[:1]
"""
    elements = run(text, np.ones(3, np.float32), inputs_of="x: f32[S]", outputs="y: stream f32[S]")
    next(elements)
    with pytest.raises(OutputError, match="S"):
        next(elements)


def test_what_it_raises_comes_behind_the_elements_before(run):
    text = """
from backends import InvalidInput
def f(*, n):
    yield "a"
    raise InvalidInput("no more")
"""
    elements = run(text, 1)
    assert next(elements) == ("a",)
    with pytest.raises(InvalidInput, match="no more"):
        next(elements)


def test_an_exception_that_is_yielded_is_raised(run):
    text = """
def f(*, n):
    yield ValueError("this one")
"""
    with pytest.raises(ValueError, match="this one"):
        next(run(text, 1))


def test_what_gives_no_iterator_is_told_so(run):
    with pytest.raises(OutputError, match="a generator that yields elements, found list"):
        run("def f(*, n):\n    return ['a']\n", 1)


def test_a_wrong_rest_is_told_at_the_end(run):
    elements = run("def f(*, n):\n    yield 'a'\n    return 'b'\n", 1)
    next(elements)
    with pytest.raises(OutputError, match="found"):
        next(elements)


def test_a_generator_needs_a_stream_output(run):
    with pytest.raises(BackendError, match="is a generator, and the stage has no stream output") as error:
        run("def f(*, n):\n    yield 'a'\n", 1, outputs="t: string")
    assert "stream T" in error.value.hint


def test_a_stage_that_takes_a_stream_gets_an_iterator(run):
    text = """
def f(*, s, n):
    for item in s:
        yield item * n
"""
    reader = ElementStream.of([("a", 1), ("b", 1)]).reader()
    given = "s: stream string, n: i64"
    assert drain(run(text, reader, 2, inputs_of=given))[0] == [("aa",), ("bb",)]


@pytest.mark.torch
def test_streams_of_arrays_come_as_tensors(run):
    pytest.importorskip("torch")
    text = """
def f(*, s):
    for item in s:
        assert isinstance(item, torch.Tensor)
        yield item * 2
"""
    reader = ElementStream.of([(np.ones(2, np.float32), 8)]).reader()
    found, _ = drain(run(text, reader, inputs_of="s: stream f32[2]", outputs="y: stream f32[2]", arrays="torch"))
    assert found[0][0].tolist() == [2, 2]


def test_streams_and_processes_of_their_own_do_not_go_together():
    with pytest.raises(BackendError, match="isolate = process does not work with streams"):
        load_isolated(stage("null", "x: f32", "y: stream f32"), config())


# ---- null


def null(*inputs, inputs_of="x: f32", outputs="y: stream f32", **arguments):
    plan = stage("null", inputs_of, outputs, **arguments)
    given = batch(*inputs, rows=1)
    return check_of(plan)(given, load("null").load(plan, config()).execute(given))


def test_null_yields_as_many_elements_as_it_is_told():
    assert drain(null(2.0, elements=3).elements) == ([(2.0,)] * 3, ())
    assert drain(null(2.0).elements) == ([(2.0,)], ())
    assert drain(null(2.0, elements=0, outputs="y: stream f32, z: f32").elements) == ([], (2.0,))


def test_null_passes_a_stream_on():
    def elements(**arguments):
        reader = ElementStream.of([(1.0, 8), (2.0, 8)]).reader()
        return drain(null(reader, inputs_of="x: stream f32", **arguments).elements)[0]

    assert elements() == [(1.0,), (2.0,)]
    assert elements(elements=1) == [(1.0,)]


def test_null_reads_a_stream_to_its_end():
    reader = ElementStream.of([(1.0, 8), (2.0, 8)]).reader()
    assert null(reader, inputs_of="x: stream f32", outputs="y: f32").outputs == (2.0,)


def test_null_fails_behind_elements():
    elements = null(2.0, elements=5, fail="after 2").elements
    assert [next(elements), next(elements)] == [(2.0,), (2.0,)]
    with pytest.raises(NullError):
        next(elements)
    with pytest.raises(BackendError, match="unknown for a stream"):
        null(2.0, fail="rows 1")


def test_a_result_without_elements_is_told():
    from backends import BatchResult

    plan = stage("null", "x: f32", "y: stream f32")
    with pytest.raises(OutputError, match="holds no elements"):
        StreamCheck(plan)(batch(1.0, rows=1), BatchResult((1.0,)))
