"""The public Python API."""

import asyncio
import itertools
import threading

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

import pipectl


@pytest.fixture
def app(hello):
    with pipectl.load(hello) as running:
        yield running


def test_an_app_knows_its_pipelines(app):
    assert app.pipelines == ("hello",)
    assert list(app) == ["hello"]
    assert len(app) == 1
    hello = app["hello"]
    assert repr(hello) == "hello(name: string, k: i64 = 3) -> (greeting: string, length: i64)"
    assert hello.doc == "Greets by name."
    assert {n: s.required for n, s in hello.inputs.items()} == {"name": True, "k": False}
    assert str(hello.outputs["length"].type) == "i64"
    with pytest.raises(KeyError, match="did you mean `hello`"):
        app["helo"]


def test_calling_waits_for_the_answer(app):
    answer = app["hello"](name="Ada", id="r1")
    assert dict(answer) == {"greeting": "Hello, Ada!", "length": 11}
    assert answer.id == "r1"
    assert answer.timings["greeting"].compute > 0
    assert answer.seconds > 0


def test_inputs_as_a_mapping(app):
    assert app["hello"]({"name": "Ada"}, k=4, outputs=["length"]) == {"length": 11}


def test_submit_gives_a_future(app):
    jobs = [app["hello"].submit(name=str(n)) for n in range(5)]
    assert [job.result()["greeting"] for job in jobs] == [f"Hello, {n}!" for n in range(5)]
    assert all(job.done() for job in jobs)
    assert not jobs[0].cancel()


def test_asubmit(app):
    async def several() -> list[str]:
        answers = await asyncio.gather(*(app["hello"].asubmit(name=str(n)) for n in range(5)))
        return [answer["greeting"] for answer in answers]

    assert asyncio.run(several()) == [f"Hello, {n}!" for n in range(5)]


def test_failures_are_request_errors(app):
    with pytest.raises(pipectl.RequestError, match="bad is no name") as error:
        app["hello"](name="bad")
    assert (error.value.pipeline, error.value.node) == ("hello", "hello.strict_1")
    assert (error.value.grpc_code, error.value.http_status, error.value.retryable) == ("INVALID_ARGUMENT", 400, False)
    for wrong in ({}, {"name": 3}, {"name": "a", "more": 1}, {"name": np.zeros(3)}):
        with pytest.raises(pipectl.RequestError) as error:
            app["hello"](wrong)
        assert error.value.grpc_code == "INVALID_ARGUMENT"


def test_map_is_ordered_lazy_and_bounded(app):
    asked = []

    def requests():
        for n in itertools.count():
            asked.append(n)
            yield {"name": str(n)}

    answers = app["hello"].map(requests(), in_flight=4)
    assert [next(answers)["greeting"] for _ in range(10)] == [f"Hello, {n}!" for n in range(10)]
    assert len(asked) == 13
    answers.close()
    assert [a["length"] for a in app["hello"].map([])] == []


def test_map_raises_a_failure_in_its_place(app):
    answers = app["hello"].map([{"name": "a"}, {"name": "bad"}, {"name": "b"}])
    assert next(answers)["greeting"] == "Hello, a!"
    with pytest.raises(pipectl.RequestError, match="bad is no name"):
        next(answers)
    with pytest.raises(ValueError, match="in_flight must be at least 1"):
        app["hello"].map([], in_flight=0)


def test_metrics_are_prometheus_text(app):
    app["hello"](name="Ada")
    values = {
        s.name: s.value for family in parse(app.metrics()) for s in family.samples if s.name == "pipe_requests_total"
    }
    assert values == {"pipe_requests_total": 1}


def test_leaving_answers_what_is_under_way(hello):
    with pipectl.load(hello) as app:
        jobs = [app["hello"].submit(name=str(n)) for n in range(50)]
    assert [job.result()["greeting"] for job in jobs] == [f"Hello, {n}!" for n in range(50)]
    with pytest.raises(pipectl.RequestError) as error:
        app["hello"](name="late")
    assert error.value.grpc_code == "UNAVAILABLE"
    app.stop()


def test_nothing_is_left_running(hello):
    before = set(threading.enumerate())
    with pipectl.load(hello) as app:
        app["hello"](name="Ada")
    assert set(threading.enumerate()) <= before


def test_compile_opens_nothing(hello, folder):
    for module in folder.glob("stages_*.py"):
        module.unlink()
    plan = pipectl.compile(hello)
    assert list(plan.pipelines) == ["hello"]
    with pytest.raises(pipectl.LoadError) as error:
        pipectl.load(plan)
    assert error.value.stage in ("greet", "count", "strict")


def test_compile_errors_hold_all_mistakes(write):
    pipe = write(
        "pipe 1\nconst A: i64 = nothing\npipeline p(x: string) -> (y: string) {{\n  return y = neither(x)\n}}\n"
    )
    with pytest.raises(pipectl.CompileError) as error:
        pipectl.load(pipe)
    assert [d.code for d in error.value.diagnostics if d.code == "E0103"] == ["E0103", "E0103"]


def test_params_are_typed_values(write):
    pipe = write(
        "pipe 1\nparam LOUD: bool = false\nparam N: i64 = 1\nparam P: percent = 10%\n"
        "pipeline p(x: string) -> (loud: bool, n: i64) {{\n  return loud = LOUD, n = N\n}}\n"
    )
    plan = pipectl.compile(pipe, params={"LOUD": True, "N": 5})
    assert {n: p.value for n, p in plan.params.items()} == {"LOUD": True, "N": 5, "P": 0.1}


def test_hardware_may_be_another(hello):
    assert pipectl.compile(hello, hardware=pipectl.Hardware(cores=7)).hardware.cores == 7


def test_names_of_the_builder():
    builder = pytest.importorskip("pipeline_dsl.builder", reason="the builder is not there yet")
    assert pipectl.stage is builder.stage
    from pipectl.types import f32, opt

    assert str(f32["*", 3])
    assert opt(f32)
    with pytest.raises(AttributeError):
        _ = pipectl.types.f33


def test_names_are_what_they_say():
    assert pipectl.__version__
    assert set(pipectl.__all__) <= set(dir(pipectl))
    for name in pipectl.__all__:
        assert getattr(pipectl, name) is not None
    with pytest.raises(AttributeError, match="no attribute `lod`"):
        _ = pipectl.lod
