"""Backend `python`: the contract of LANGUAGE §7, one promise per test."""

import logging
import sys
import textwrap
import time

import numpy as np
import pytest

from backends import BackendError, InvalidInput, Ragged, load
from backends.checks import OutputCheck, OutputError
from backends.importer import forget
from tests.backends.stages import Copies, batch, config, port, stage

X, Y = "x: f32[*, 2]", "y: f32[*, 2]"


@pytest.fixture
def code(tmp_path):
    """Writes modules beside an imaginary `.pipe` and loads stages from them."""
    made = []

    class Code:
        folder = tmp_path

        def write(self, text, name="user_code.py", folder=tmp_path):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("import numpy as np\n" + textwrap.dedent(text))
            return path

        def load(self, inputs=X, outputs=Y, artifact="user_code:f", folder=tmp_path, **arguments):
            options = {key: arguments.pop(key) for key in ("on_copy",) if key in arguments}
            plan = stage("python", inputs, outputs, folder=folder, artifact=artifact, **arguments)
            instance = load("python").load(plan, config(**options))
            made.append((instance, folder))
            return instance

        def run(self, text, *inputs, inputs_of=X, outputs=Y, rows=None, **arguments):
            forget(tmp_path)
            self.write(text)
            instance = self.load(inputs_of, outputs, **arguments)
            given = batch(*inputs, rows=rows)
            result = instance.execute(given)
            plan = stage("python", inputs_of, outputs)
            return OutputCheck(plan)(given, result)

    yield Code()
    for instance, folder in made:
        instance.close()
        forget(folder)
    forget(tmp_path)


def ones(*shape):
    return np.ones(shape, np.float32)


# ---- calling


def test_ports_are_keyword_arguments(code):
    result = code.run("def f(*, x, k): return x * k", ones(2, 2), 3, inputs_of="x: f32[*, 2], k: i32")
    assert result.outputs[0].tolist() == [[3, 3], [3, 3]]


def test_keys_reach_a_function(code):
    result = code.run("def f(*, x, scale): return x * np.float32(scale)", ones(1, 2), scale=5)
    assert result.outputs[0].tolist() == [[5, 5]]


def test_a_class_is_built_once_per_instance_and_closed(code):
    code.write("""
        log = []
        class C:
            def __init__(self, *, factor): log.append("built"); self.factor = np.float32(factor)
            def __call__(self, *, x): return x * self.factor
            def warmup(self): log.append("warm")
            def close(self): log.append("closed")
    """)
    instance = code.load(artifact="user_code:C", factor=3)
    instance.warmup()
    for _ in range(2):
        assert instance.execute(batch(ones(1, 2))).outputs[0].tolist() == [[3, 3]]
    log = sys.modules["user_code"].log
    assert log == ["built", "warm"]
    instance.close()
    assert log == ["built", "warm", "closed"]
    code.load(artifact="user_code:C", factor=4)
    assert log[-1] == "built"


def test_an_input_returned_is_the_same_memory(code):
    given = ones(2, 2)
    assert code.run("def f(*, x): return x", given).outputs[0] is given
    assert np.shares_memory(code.run("def f(*, x): return x[:]", given).outputs[0], given)


def test_an_absent_optional_is_none(code):
    text = "def f(*, x, m): return x if m is None else x + m"
    result = code.run(text, ones(1, 2), None, inputs_of=f"{X}, m: f32[2]?")
    assert result.outputs[0].tolist() == [[1, 1]]


def test_the_context_tells_about_the_call(code):
    code.write("""
        def f(*, x, ctx):
            ctx.log.info("seen %s", ctx.request_ids)
            return x, [len(ctx.rows)] * len(x), [ctx.remaining or -1.0] * len(x), [ctx.device] * len(x)
    """)
    instance = code.load(outputs=f"{Y}, n: i32[*], left: f64[*], device: string[*]")
    given = batch(ones(2, 2), request_ids=("a", "b"), deadline_ns=time.monotonic_ns() + 10**12)
    outputs = instance.execute(given).outputs
    assert outputs[1].tolist() == [1, 1]
    assert 900 < outputs[2][0] <= 1000
    assert outputs[3].tolist() == ["cpu", "cpu"]
    assert instance.execute(batch(ones(1, 2))).outputs[2].tolist() == [-1]


def test_the_context_logs_under_the_stage(code, caplog):
    code.write("def f(*, x, ctx):\n    ctx.log.warning('rows %d', len(x))\n    return x")
    instance = code.load()
    with caplog.at_level(logging.WARNING):
        instance.execute(batch(ones(2, 2)))
    assert caplog.records[0].name == "pipectl.stage.s"


def test_cancellation_can_be_seen(code):
    code.write("def f(*, x, ctx): return x * np.float32(ctx.cancelled())")
    given = batch(ones(1, 2))
    given.cancelled = lambda: True
    assert code.load().execute(given).outputs[0].tolist() == [[1, 1]]


# ---- returning


@pytest.mark.parametrize("text", ["(x, k)", "dict(k=k, y=x)", "(x.tolist(), list(k))", "(x, np.array(k))"])
def test_several_outputs_come_as_tuple_or_dict(code, text):
    result = code.run(f"def f(*, x):\n    k = np.arange(2)\n    return {text}", ones(2, 2), outputs=f"{Y}, k: i64[*]")
    assert result.outputs[0].dtype == np.float32
    assert result.outputs[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x, x]", "a tuple of 2 in port order, or a dict of y, k, is expected; found list of 2"),
        ("(x, x, x)", "found tuple of 3"),
        ("dict(y=x)", "found a dict with y"),
        ("dict(y=x, k=x, z=x)", "found a dict with y, k, z"),
        ("x", r"found float32 \[2, 2\]"),
        ("None", "found None"),
    ],
)
def test_anything_else_is_refused(code, text, message):
    with pytest.raises(OutputError, match=message):
        code.run(f"def f(*, x): return {text}", ones(2, 2), outputs=f"{Y}, k: f32[*, 2]")


@pytest.mark.parametrize(
    ("outputs", "text", "expected"),
    [
        ("y: f32", "3", 3.0),
        ("y: f32", "np.float64(0.5)", 0.5),
        ("y: i64", "np.int32(4)", 4),
        ("y: i64", "np.array(4)", 4),
        ("y: bool", "np.bool_(True)", True),
        ("y: string", "'a'", "a"),
        ("y: json", "{'a': 1}", {"a": 1}),
        ("y: f32[2]?", "None", None),
    ],
)
def test_single_values(code, outputs, text, expected):
    result = code.run(f"def f(*, x): return {text}", ones(3), inputs_of="x: f32[3]", outputs=outputs, rows=1)
    assert result.outputs[0] == expected
    assert type(result.outputs[0]) is type(expected)


@pytest.mark.parametrize(
    ("outputs", "text", "message"),
    [
        (Y, "x.astype(float)", "output `y`.*found float64"),
        (Y, "None", "found None"),
        (Y, "'a'", "found str"),
        (Y, "x[:1]", "the number of rows, found 1"),
        (Y, "x[:, :1]", "dim 1 must be 2, found 1"),
        (Y, "[[1, 2], [3]]", "not of equal length"),
        ("y: u8[*]", "[1, 300]", "300 does not fit u8"),
        ("y: string[*]", "[b'a', b'b']", "decode them first"),
        ("y: string[*]", "np.array(['a', 'b'])", "found <U1"),
        ("y: f32[*, ~L]", "x", "a list with one array per row"),
        ("y: f32[*, ~L]", "[1.0, 2.0]", "row 0"),
    ],
)
def test_wrong_results_name_the_port(code, outputs, text, message):
    with pytest.raises(OutputError, match=message):
        code.run(f"def f(*, x): return {text}", ones(2, 2), outputs=outputs)


def test_ragged_results_come_as_lists(code):
    text = "def f(*, text): return [list(range(len(t))) for t in text], [np.ones(len(t), np.int64) for t in text]"
    found = code.run(
        text,
        np.array(["ab", ""], object),
        inputs_of="text: string[*]",
        outputs="ids: i64[*, ~L], mask: i64[*, ~L]",
    ).outputs
    assert [row.tolist() for row in found[0]] == [[0, 1], []]
    assert found[1].lengths().tolist() == [2, 0]


def test_a_padded_result_takes_the_lengths_of_its_input(code):
    given = Ragged([np.array([1.0], np.float32), np.array([2.0, 3.0], np.float32)])
    ports = {"inputs_of": "x: f32[*, ~L]", "outputs": "y: f32[*, ~L]"}
    found = code.run("def f(*, x): return x.padded() * 2", given, **ports).outputs[0]
    assert isinstance(found, Ragged)
    assert [row.tolist() for row in found] == [[2], [4, 6]]
    with pytest.raises(OutputError, match=r"padded to \[2, 2, ..\]"):
        code.run("def f(*, x): return x.padded()[:, :1]", given, **ports)


def test_a_padded_port_gives_and_takes_plain_arrays(code):
    code.write("def f(*, x): return x + x")
    padded = (port("x: f32[*, ~L]", form="padded"),), (port("y: f32[*, ~L]", form="padded"),)
    found = code.load(*padded).execute(batch(ones(2, 3))).outputs[0]
    assert found.tolist() == [[2] * 3] * 2


# ---- failing rows


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        (Y, "[x[0], ValueError('bad'), x[2]]"),
        (Y, "[[1, 1], ValueError('bad'), [1, 1]]"),
        ("y: i64[*]", "[1, ValueError('bad'), 1]"),
        ("y: i64[*]", "np.array([1, ValueError('bad'), 1], object)"),
        ("y: string[*]", "['a', ValueError('bad'), 'a']"),
        ("y: f32[*, ~L]", "[[1], ValueError('bad'), [1]]"),
        (f"{Y}, z: f32[*, 2]", "(x, [x[0], ValueError('bad'), x[2]])"),
    ],
)
def test_an_exception_in_a_rows_place_fails_that_row(code, outputs, text):
    result = code.run(f"def f(*, x): return {text}", ones(3, 2), outputs=outputs)
    assert list(result.failed) == [1]
    assert str(result.failed[1]) == "bad"
    assert len(result.outputs[0]) == 3


def test_an_exception_returned_without_rows_fails_the_call_alone(code):
    text = "def f(*, x): return ValueError('no')"
    result = code.run(text, ones(3), inputs_of="x: f32[3]", outputs="y: f32", rows=1)
    assert str(result.failed[0]) == "no"


def test_exceptions_pass_through(code):
    code.write("from backends import InvalidInput\ndef f(*, x): raise InvalidInput('empty text')")
    with pytest.raises(InvalidInput, match="empty text"):
        code.load().execute(batch(ones(1, 2)))


# ---- each


def test_each_gives_one_row_at_a_time(code):
    copies = Copies()
    code.write("def f(*, x, t, k): return x * np.float32(k) if t == 'a' else x")
    instance = code.load(f"{X}, t: string[*], k: i32", each=True, on_copy=copies)
    found = instance.execute(batch(ones(2, 2), np.array(["a", "b"], object), 3)).outputs[0]
    assert found.tolist() == [[3, 3], [1, 1]]
    assert copies == [(16, "each")]


def test_each_gives_python_values_for_rank_0(code):
    text = "def f(*, n, r): return n + len(r) if type(n) is int else None"
    given = np.array([1, 2]), Ragged([ones(2), ones(0)])
    found = code.run(text, *given, inputs_of="n: i64[*], r: f32[*, ~L]", outputs="m: i64[*]", each=True)
    assert found.outputs[0].tolist() == [3, 2]


def test_each_can_return_ragged_and_several(code):
    text = "def f(*, x): return dict(y=x, r=np.ones(int(x[0]), np.float32))"
    given = np.array([[1, 0], [2, 0]], np.float32)
    found = code.run(text, given, outputs=f"{Y}, r: f32[*, ~L]", each=True).outputs
    assert found[0].tolist() == given.tolist()
    assert found[1].lengths().tolist() == [1, 2]


def test_each_fails_rows_that_raise_or_return_nonsense(code):
    text = """
        def f(*, n):
            if n == 1: raise ValueError("one")
            if n == 2: return "two"
            if n == 3: return KeyError("three")
            return n
    """
    result = code.run(text, np.arange(5), inputs_of="n: i64[*]", outputs="m: i64[*]", each=True)
    assert {i: type(e) for i, e in result.failed.items()} == {1: ValueError, 2: OutputError, 3: KeyError}
    assert result.outputs[0].tolist() == [0, 0, 0, 0, 4]


def test_each_needs_rows(code):
    code.write("def f(*, x): return x")
    with pytest.raises(BackendError, match="each = true needs ports with"):
        code.load("x: f32[2]", "y: f32[2]", each=True)


@pytest.mark.torch
def test_arrays_can_be_tensors(code):
    pytest.importorskip("torch")
    given = ones(2, 2)
    text = "import torch\ndef f(*, x): return torch.relu(x - 2) if isinstance(x, torch.Tensor) else None"
    assert code.run(text, given, arrays="torch").outputs[0].tolist() == [[0, 0], [0, 0]]
    same = code.run("def f(*, x): return x", given, arrays="torch").outputs[0]
    assert np.shares_memory(same, given)


# ---- loading


@pytest.mark.parametrize(
    ("text", "arguments", "message", "hint"),
    [
        ("def g(*, x): ...", {}, "has no `f`", "it has np, g"),
        ("def gauss(*, x): ...", {"artifact": "user_code:gaus"}, "has no `gaus`", "did you mean `gauss`"),
        ("async def f(*, x): ...", {}, "async def", "plain function"),
        ("def f(*, x):\n    yield x", {}, "is a generator", "return"),
        ("def f(*, y): ...", {}, r"`f` \(.*user_code.py:2\) has no parameter for the port `x`", "its parameters: y"),
        ("def f(*, x, z): ...", {}, "needs `z`, which is no port and no key", "z = value"),
        ("def f(*, x): ...", {"scale": 2}, "no parameter for the key `scale`", "its parameters: x"),
        ("def f(x, /): ...", {}, "has no parameter for the port `x`", ""),
        ("def f(q, /, x): ...", {}, "takes `q` by position only", "by name"),
        ("f = 3", {}, "no function and no class", ""),
        ("class f:\n    pass", {}, "has no __call__", "define __call__"),
        ("class f:\n    def __call__(self, *, y): ...", {}, "no parameter for the port `x`", ""),
        ("class f:\n    def __init__(self, a): ...\n    def __call__(self, *, x): ...", {}, "needs `a`", "a = value"),
        ("class f:\n    def __init__(self): 1 / 0\n    def __call__(self, *, x): ...", {}, "ZeroDivisionError", ""),
        ("class f:\n    async def __call__(self, *, x): ...", {}, "async def", ""),
        ("import nonexistent_package", {}, "No module named 'nonexistent_package'", "install the package"),
        ("1 / 0", {}, "user_code.py:2: ZeroDivisionError", ""),
        ("def f(:", {}, "user_code.py:2: SyntaxError", ""),
        ("raise SystemExit(3)", {}, "SystemExit: 3", ""),
        ("def f(*, x): ...", {"artifact": "user_codes:f"}, "no module `user_codes`", "did you mean `user_code`"),
        ("def f(*, x): ...", {"artifact": "user_code"}, "names no object", "package.module:name"),
        ("def f(*, x): ...", {"arrays": "jax"}, "arrays = 'jax' is unknown", "torch"),
    ],
)
def test_what_can_not_be_called_fails_at_load(code, text, arguments, message, hint):
    code.write(text)
    with pytest.raises(BackendError, match=message) as error:
        code.load(**arguments)
    assert hint in error.value.hint
    assert "stage `s`" in str(error.value)


def test_the_users_exception_is_kept_as_the_cause(code):
    code.write("def helper():\n    raise KeyError('x')\nhelper()")
    with pytest.raises(BackendError, match=r"user_code.py:3: KeyError") as error:
        code.load()
    assert isinstance(error.value.__cause__, KeyError)


def test_code_beside_the_pipe_comes_before_installed_packages(code):
    code.write("def f(*, x): return x", name="tabnanny.py")
    sys.modules.pop("tabnanny", None)
    assert code.load(artifact="tabnanny:f").execute(batch(ones(1, 2))).outputs[0].shape == (1, 2)


def test_installed_code_is_found(code):
    found = code.load("a: f64[N]", "y: f64[N]", artifact="numpy:sort").execute(batch(np.array([2.0, 1.0]), rows=1))
    assert found.outputs[0].tolist() == [1, 2]


def test_packages_and_their_own_imports(code):
    code.write(
        "from .helper import double\nfrom other import three\ndef f(*, x): return double(x) * three", "pkg/mod.py"
    )
    code.write("def double(x): return x * 2", "pkg/helper.py")
    code.write("three = np.float32(3)", "other.py")
    found = code.load(artifact="pkg.mod:f").execute(batch(ones(1, 2))).outputs[0]
    assert found.tolist() == [[6, 6]]


def test_two_folders_with_one_module_name_are_refused_while_in_use(code):
    first, second = code.folder / "a", code.folder / "b"
    code.write("def f(*, x): return x", folder=first)
    code.write("def f(*, x): return x * 2", folder=second)
    one = code.load(folder=first)
    with pytest.raises(
        BackendError, match=r"module `user_code` is in .*b, and one of that name is loaded from .*a"
    ) as e:
        code.load(folder=second)
    assert "isolate = process" in e.value.hint
    one.close()
    assert code.load(folder=second).execute(batch(ones(1, 2))).outputs[0].tolist() == [[2, 2]]


def test_a_folder_does_not_see_the_modules_of_another(code):
    first, second = code.folder / "a", code.folder / "b"
    code.write("def f(*, x): return x", folder=first)
    code.write("def f(*, x): return x", "another.py", folder=second)
    code.load(folder=first)
    with pytest.raises(BackendError, match="there is no module `user_code`"):
        code.load(folder=second)


def test_forget_imports_again(code):
    code.write("def f(*, x): return x")
    code.load().close()
    forget(code.folder)
    code.write("def f(*, x):\n    # changed\n    return x * 2")
    assert code.load().execute(batch(ones(1, 2))).outputs[0].tolist() == [[2, 2]]


def test_forget_leaves_what_was_there_before(code):
    code.write("def f(*, x): return x")
    code.write("", name="early.py")
    sys.path.insert(0, str(code.folder))
    import early  # type: ignore[import-not-found]  # made by this test

    sys.path.remove(str(code.folder))
    code.write("def f(*, x): return x", name="lib/site/inner.py")
    code.load().close()
    forget(code.folder)
    assert "user_code" not in sys.modules
    assert sys.modules.pop("early") is early
