"""Stages that do not load, and stages that do not keep their word: who is at fault, and everyone else is answered."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pipectl
from backends.values import InvalidInput
from executor.errors import InvalidArgument, StageFailed, StageUnavailable

from .conftest import until

pytestmark = pytest.mark.usefixtures("nothing_left")

PIPE = """pipe 1

stage s(x: f32[*, 3]) -> (y: f32[*, 3])
  using python("MODULE:f")

pipeline p(x: f32[*, 3]) -> (y: f32[*, 3]) {
  return y = s(x)
}

profile apart {
  s { isolate = process }
}
"""
FINE = "def f(*, x):\n    return x\n"
LOAD = {
    "SyntaxError": ("def f(*, x:\n", ".py:1: SyntaxError", "never closed"),
    "NUL in the source": ("def f(*, x): return x\0", "SyntaxError", "null bytes"),
    "no such package": ("import no_such_package\n", "No module named", "install the package"),
    "ImportError": ("from math import nothing\n", ".py:1: ImportError", "cannot import name 'nothing'"),
    "raises": ("x = 1\nraise RuntimeError('not today')\n", ".py:2: RuntimeError: not today"),
    "exits": ("import sys\nsys.exit(3)\n", ".py:2: SystemExit: 3"),
    "recursion": ("def g(): g()\ng()\n", "RecursionError"),
    "no such function": ("def g(*, x): return x\n", "has no `f`", "it has g"),
    "no function": ("f = 3\n", "is no function and no class"),
    "other parameters": ("def f(*, a): return a\n", "no parameter for the port `x`", "its parameters: a"),
    "one too many": ("def f(*, x, z): return x\n", "needs `z`, which is no port", "add the port"),
    "async def": ("async def f(*, x): return x\n", "`async def`, which stages can not be", "plain function"),
    "async generator": ("async def f(*, x): yield x\n", "`async def`", "plain function"),
    "generator": ("def f(*, x): yield x\n", "is a generator", "return the values"),
    "class that can not be built": (
        "class f:\n def __init__(self): raise ValueError('no weights')\n def __call__(self, *, x): return x\n",
        "building `f`",
        "ValueError: no weights",
    ),
    "class that exits": (
        "class f:\n def __init__(self): raise SystemExit('no')\n def __call__(self, *, x): return x\n",
        "SystemExit: no",
    ),
    "class that is not callable": ("class f: pass\n", "has no __call__ method", "define __call__(self"),
    "warm-up that fails": (
        "class f:\n def warmup(self): raise ValueError('cold')\n def __call__(self, *, x): return x\n",
        "its warm-up raised ValueError: cold",
    ),
    "warm-up that exits": (
        "class f:\n def warmup(self): raise SystemExit(2)\n def __call__(self, *, x): return x\n",
        "SystemExit: 2",
    ),
}
APART = ("SyntaxError", "exits", "no such function", "class that can not be built", "warm-up that fails")


@pytest.mark.parametrize(("what", "profile"), [*((w, None) for w in LOAD), *((w, "apart") for w in APART)])
def test_a_stage_that_does_not_load(program, call, what, profile):
    python, *told = LOAD[what]
    pipe = program(python, PIPE)
    with pytest.raises(pipectl.LoadError) as caught:
        pipectl.load(pipe, profile=profile)
    error = caught.value
    assert error.stage == "s"
    for text in told:
        assert text in f"{error.message}\n{error.hint}"
    assert str(error).count("stage `s`") == 1
    options = ["--profile", profile] if profile else []
    done = call("run", pipe, "--input", "x=[[1, 2, 3]]", *options)
    assert done.code == 3
    assert f"error: stage `s`: {error.message}" in done.err
    assert done.out == ""


def test_one_stage_that_does_not_load_stops_the_others(program):
    closed = "class f:\n def close(self): open('closed', 'w').close()\n def __call__(self, *, x): return x\n"
    other = PIPE.replace(
        "pipeline", 'stage t(x: f32[*, 3]) -> (y: f32[*, 3])\n  using python("MODULE:nothing")\n\npipeline', 1
    ).replace("y = s(x)", "y = t(s(x))")
    with pytest.raises(pipectl.LoadError, match="stage `t`"):
        pipectl.load(program(closed, other))
    open("closed").close()


# ---- what it returns

RETURNS = {
    "a wrong name": ('return {"z": x}', "found dict"),
    "another dtype": ("return x.astype('f8')", "f32[*, 3] is expected, found float64 [2, 3]"),
    "whole numbers": ("return x.astype(int)", "found int64 [2, 3]"),
    "complex numbers": ("return x * 1j", "found complex64"),
    "another size": ("return x[:, :2]", "dim 1 must be 3, found 2"),
    "another rank": ("return x[0]", "[*, 3] has 2 dims, found 1"),
    "too few rows": ("return x[:1]", "dim 0 must be 2, the number of rows, found 1"),
    "too many rows": ("return numpy.concatenate([x, x])", "dim 0 must be 2, the number of rows, found 4"),
    "None": ("return None", "f32[*, 3] is expected, found None"),
    "text": ("return 'hello'", "found str"),
    "an object": ("return object()", "found object"),
    "an array of objects": ("return numpy.array([object()] * len(x))", "found object"),
    "lists of unequal length": ("return [[1.0], [1.0, 2.0]]", "not of equal length"),
    "two values": ("return x, x", "2 dims are expected, found 3"),
    "a generator": ("return (i for i in x)", "found generator"),
}


@pytest.mark.parametrize("what", RETURNS)
def test_a_stage_that_returns(program, what):
    line, told = RETURNS[what]
    check_wrong_return(program(f"import numpy\ndef f(*, x):\n    {line}\n", PIPE), told)


@pytest.mark.parametrize("what", ["None", "another dtype", "text", "too many rows"])
def test_an_isolated_stage_that_returns(program, what):
    line, told = RETURNS[what]
    check_wrong_return(program(f"import numpy\ndef f(*, x):\n    {line}\n", PIPE), told, "apart")


def check_wrong_return(pipe, told, profile=None):
    with pipectl.load(pipe, profile=profile) as app:
        with pytest.raises(StageFailed) as caught:
            app["p"](x=np.ones((2, 3), np.float32), id="mine")
        assert app._engine.check_idle() == []
    error = caught.value
    assert error.message.startswith("stage `s`, output `y`: ")
    assert told in error.message
    assert str(error).endswith("(request mine)")
    assert (error.node, error.grpc_code, error.retryable) == ("p.y", "INTERNAL", False)


def test_a_dict_that_lacks_an_output(program):
    two = PIPE.replace("-> (y: f32[*, 3])\n  using", "-> (y: f32[*, 3], z: f32[*])\n  using").replace(
        "return y = s(x)", "r = s(x)\n  return y = r.y"
    )
    pipe = program('def f(*, x):\n    return {"y": x, "q": x[:, 0]}\n', two)
    with pipectl.load(pipe) as app, pytest.raises(StageFailed) as caught:
        app["p"](x=np.ones((2, 3), np.float32))
    assert caught.value.message.startswith("stage `s`: ")
    assert "a dict of y, z, is expected; found a dict with y, q" in caught.value.message


# ---- what it raises

RAISES = {
    "an error": ("raise ValueError('boom')", "stage `s` raised ValueError: boom"),
    "an error without text": ("raise StopIteration", "stage `s` raised StopIteration"),
    "an error that has no text": ("raise Mute()", "its text can not be shown: RuntimeError"),
    "a group": ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup: g (1 sub-exception)"),
    "too little memory": ("raise MemoryError('big')", "MemoryError: big"),
    "a recursion": ("return f(x=x)", "RecursionError"),
    "a write to its input": ("x[...] = 0", "read-only"),
    "an error in a row's place": ("return [ValueError('row')] * len(x)", "ValueError: row"),
}
ENDS = {
    "sys.exit": ("raise SystemExit(1)", "stage `s` raised SystemExit: 1"),
    "Ctrl-C of its own": ("raise KeyboardInterrupt", "stage `s` raised KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "stage `s` raised GeneratorExit"),
}
RAISING = """
class Mute(Exception):
    def __str__(self): raise RuntimeError
def f(*, x):
    if (x[:, 0] < 0).any():
        {}
    return x
"""


@pytest.mark.parametrize("what", [*RAISES, *ENDS])
def test_a_stage_that_raises(program, what):
    line, told = {**RAISES, **ENDS}[what]
    good, bad = np.ones((1, 3), np.float32), -np.ones((1, 3), np.float32)
    with pipectl.load(program(RAISING.format(line), PIPE)) as app:
        for _ in range(4):  # more often than there are threads that could die of it
            with pytest.raises(StageFailed) as caught:
                app["p"].submit(x=bad).result(10)
            assert told in caught.value.message
            np.testing.assert_array_equal(app["p"].submit(x=good).result(10)["y"], good)
        assert app._engine.check_idle() == []


def test_an_isolated_stage_that_exits_is_named_and_started_again(program, capfd):
    good, bad = np.ones((1, 3), np.float32), -np.ones((1, 3), np.float32)
    with pipectl.load(program(RAISING.format("raise SystemExit(7)"), PIPE), profile="apart") as app:
        with pytest.raises(StageUnavailable, match=r"stage `s`: its process \d+ ended with exit code 7"):
            app["p"].submit(x=bad).result(20)
        np.testing.assert_array_equal(app["p"].submit(x=good).result(20)["y"], good)


def test_a_message_of_millions_of_characters_is_cut(program):
    pipe = program("def f(*, x): raise ValueError('a' * 5_000_000)\n", PIPE)
    with pipectl.load(pipe) as app, pytest.raises(StageFailed) as caught:
        app["p"](x=np.ones((1, 3), np.float32))
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("profile", [None, "apart"])
def test_good_requests_beside_bad_ones_are_answered(program, profile):
    """R20: in batches of many, exactly the requests at fault fail, each with its own error."""
    python = """
from backends.values import InvalidInput
def f(*, x):
    kind = set(x[:, 1])
    if 1.0 in kind: raise InvalidInput("a one")
    if 2.0 in kind: raise ValueError("a two")
    if 3.0 in kind: return x[:, :2]
    return x * 2
"""
    rng = np.random.default_rng(0)
    kinds = [int(rng.integers(1, 4)) if rng.random() < 0.1 else 0 for _ in range(200)]
    requests = [np.array([[i, kind, 0]], np.float32) for i, kind in enumerate(kinds)]
    expected = {1: (InvalidArgument, "a one"), 2: (StageFailed, "ValueError: a two"), 3: (StageFailed, "output `y`")}
    budget = 64  # runs again that the engine allows at once; a burst beyond fails whole batches
    with pipectl.load(program(python, PIPE), profile=profile) as app:
        outcomes = []
        for lo in range(0, len(requests), 8):
            jobs = [app["p"].submit(x=x) for x in requests[lo : lo + 8]]
            outcomes += [job.exception(20) or job.result() for job in jobs]
        assert app._engine.check_idle() == []
    assert sum(k > 0 for k in kinds) * 6 < budget * 3
    for x, kind, outcome in zip(requests, kinds, outcomes, strict=True):
        if not kind:
            np.testing.assert_array_equal(outcome["y"], x * 2)
        else:
            error, told = expected[kind]
            assert isinstance(outcome, error)
            assert told in outcome.message
            assert isinstance(outcome, InvalidArgument) == isinstance(outcome.__cause__, InvalidInput)


def test_run_reports_the_bad_and_answers_the_good(program, call, folder):
    pipe = program(RAISING.format("raise ValueError('boom')"), PIPE)
    (folder / "in.jsonl").write_text("".join(f'{{"x": [[{v}, 0, 0]]}}\n' for v in (1, -1, 2, -2, 3)))
    done = call("run", pipe, "--jsonl", "in.jsonl", "--format", "json")
    assert done.code == 4
    assert done.out.count('"outputs"') == 3
    assert done.out.count("stage `s` raised ValueError: boom") == 2


def test_a_stage_that_never_returns_keeps_to_the_deadline_of_its_request(program, folder):
    python = "import threading\ngo = threading.Event()\ndef f(*, x):\n    go.wait()\n    return x\n"
    pipe = program(python, PIPE)
    app = pipectl.load(pipe)
    try:
        with pytest.raises(pipectl.RequestError, match="deadline"):
            app["p"](x=np.ones((1, 3), np.float32), timeout=0.1)
    finally:
        import sys

        sys.modules[pipe.stem].go.set()
        app.stop()


def test_a_hung_isolated_stage_is_ended_and_replaced(program):
    """R7: the process that does not answer is killed soon after the deadline of its batch."""
    python = "import time\ndef f(*, x):\n    while x[0, 0] < 0: time.sleep(1)\n    return x\n"
    good, bad = np.ones((1, 3), np.float32), -np.ones((1, 3), np.float32)
    with pipectl.load(program(python, PIPE), profile="apart") as app:
        with pytest.raises(pipectl.RequestError) as caught:
            app["p"](x=bad, timeout=0.2)
        assert caught.value.grpc_code == "DEADLINE_EXCEEDED"
        np.testing.assert_array_equal(app["p"].submit(x=good).result(20)["y"], good)


# ---- model files

MODEL = """pipe 1
stage s(x: {x}) -> (y: {y})
  using {backend}("{file}")
pipeline p(x: {x}) -> (y: {y}) {{
  return y = s(x)
}}
"""


def model(folder, backend, file, x="f32[*, 4]", y="f32[*, 4]"):
    path = folder / "m.pipe"
    path.write_text(MODEL.format(backend=backend, file=file, x=x, y=y))
    return path


def refused(call, pipe, *told):
    done = call("run", pipe, "--input", "x=[[1, 2, 3, 4]]")
    assert done.code == 3, done.said
    assert done.err.startswith("error: stage `s`: ")
    assert done.err.count("\nerror") == 0
    for text in told:
        assert text in done.err


@pytest.mark.parametrize(("backend", "file"), [("onnx", "m.onnx"), ("torch", "m.pt2"), ("torch", "m.pt")])
def test_a_model_file_that_is_missing(folder, call, backend, file):
    (folder / f"n{file[1:]}").write_bytes(b"")
    refused(call, model(folder, backend, file), "there is no file", file, "help: ")


@pytest.mark.parametrize(("backend", "file"), [("onnx", "m.onnx"), ("torch", "m.pt2")])
def test_a_model_file_that_is_a_folder(folder, call, backend, file):
    (folder / file).mkdir()
    refused(call, model(folder, backend, file), "is a folder, not a file")


NO_MODELS = {
    "empty": b"",
    "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
    "noise": bytes(range(256)) * 64,
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("what", NO_MODELS)
@pytest.mark.parametrize(
    ("backend", "file"),
    [("onnx", "m.onnx"), *(pytest.param("torch", f, marks=pytest.mark.torch) for f in ("m.pt2", "m.pt"))],
)
def test_a_file_that_is_no_model(folder, call, backend, file, what):
    if backend == "torch":
        pytest.importorskip("torch")
    (folder / file).write_bytes(NO_MODELS[what])
    refused(call, model(folder, backend, file), file, "help: ")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_onnx_model(folder, call, share):
    models = pytest.importorskip("tests.backends.models")
    whole = models.doubling(folder / "m.onnx").read_bytes()
    (folder / "m.onnx").write_bytes(whole[: int(len(whole) * share)])
    refused(call, model(folder, "onnx", "m.onnx"), "m.onnx")


@pytest.mark.torch
def test_a_truncated_torch_model(folder, call):
    torch = pytest.importorskip("torch")
    program = torch.export.export(torch.nn.Linear(4, 4), (torch.zeros(2, 4),))
    torch.export.save(program, str(folder / "m.pt2"))
    whole = (folder / "m.pt2").read_bytes()
    (folder / "m.pt2").write_bytes(whole[: len(whole) // 2])
    refused(call, model(folder, "torch", "m.pt2"), "m.pt2")


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        ("f32[*, 5]", "f32[*, 5]", ("5", "4")),
        ("i64[*, 4]", "i64[*, 4]", ("i64", "f32")),
        ("f32[*, 4, 1]", "f32[*, 4, 1]", ("[*, 4, 1]", "4")),
        ("f32[4]", "f32[4]", ("f32[4]", "x")),
    ],
)
def test_a_signature_that_disagrees_with_its_model_shows_both(folder, call, x, y, told):
    models = pytest.importorskip("tests.backends.models")
    models.doubling(folder / "m.onnx")
    refused(call, model(folder, "onnx", "m.onnx", x, y), "`x`", *told)


def test_a_port_that_the_model_has_not_lists_what_it_has(folder, call):
    models = pytest.importorskip("tests.backends.models")
    nodes = [models.node("Add", "left right", "sum")]
    sides = [models.value(n, "f32", ["N", 4]) for n in ("left", "right", "sum")]
    models.onnx_model(folder / "m.onnx", nodes, sides[:2], sides[2:])
    refused(call, model(folder, "onnx", "m.onnx"), "`x`", "left", "right")


# ---- afterwards


def test_load_and_stop_many_times_leaves_nothing(program):
    """R16, small: start, fail, stop, again and again; `nothing_left` looks at threads, processes and files."""
    bad, good = program("raise RuntimeError('no')\n", PIPE), program(FINE, PIPE)
    for _ in range(10):
        with pytest.raises(pipectl.LoadError):
            pipectl.load(bad)
        with pipectl.load(good) as app:
            app["p"](x=np.ones((1, 3), np.float32))
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("pipectl")])
