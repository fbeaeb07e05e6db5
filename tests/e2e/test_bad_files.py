"""Files that are no programs: one clear error with its place and what to do, the right exit code, and soon."""

from __future__ import annotations

import re
import time

import pytest

MIB = 1_000_000
ANSWER = "pipeline p(x: i32) -> (y: i32) {\n  return y = x\n}\n"

BAD = {
    "empty": (b"", "E0009", "it is empty", "start with `pipe 1`"),
    "blank": (b" \n\n\t\r\n", "E0009", "it is empty", "start with `pipe 1`"),
    "binary": (bytes(range(256)) * 400, "E0009", "NUL bytes", "is this a model file?"),
    "NUL": (b"pipe 1\nconst N\0 = 1\n", "E0009", "NUL bytes", "is this a model file?"),
    "UTF-16": (f"pipe 1\n{ANSWER}".encode("utf-16"), "E0009", "NUL bytes", "help:"),
    "not UTF-8": (b"pipe 1\n# ok\nstage \xff\xfe x\n", "E0009", "(line 3) is no UTF-8", "save it as UTF-8"),
    "too large": (b"pipe 1\n# " + b"a" * 5 * MIB + b"\n", "E0009", "larger than 1 MiB", "split it"),
    "1 MB of (": (b"(" * MIB, "E0008", ":1:65", "nested too deeply; the limit is 64"),
    "1 MB of {": (b"{" * MIB, "E0008", ":1:65", "give parts of it names of their own"),
    "1 MB of ([{": (b"([{" * (MIB // 3), "E0008", ":1:65", "nested too deeply"),
    "1 MB of [ and ]": (b"[" * (MIB // 2) + b"]" * (MIB // 2), "E0008", ":1:65", "nested too deeply"),
    "1 MB of )": (b")" * MIB, "E0003", ":1:1", "remove `)`"),
    "deep expression": (b"pipe 1\nconst N = " + b"(" * 5000 + b"1" + b")" * 5000, "E0008", ":2:", "limit is 64"),
    "deep block": (
        b"pipe 1\npipeline p(c: bool) -> (y: i32) {\n" + b"y = if c {\n" * 3000 + b"yield 1\n" + b"}\n" * 3000,
        "E0008",
        ":66:",
        "limit is 64",
    ),
    "20,000 times not": (b"pipe 1\nconst N = " + b"not " * 20_000 + b"true\n", "E0008", ":2:", "limit is 128"),
    "20,000 times +": (b"pipe 1\nconst N = " + b"1 + " * 20_000 + b"1\n", "E0008", ":2:", "limit is 128"),
    "huge name": (b"pipe 1\nconst N = " + b"a" * MIB + b"\n", "E0008", ":2:11", "255 characters"),
    "huge string": (b'pipe 1\nconst N = "' + b"a" * MIB + b"\n", "E0005", ":2:11", "not closed on this line"),
    "huge number": (b"pipe 1\nconst N = " + b"9" * 10_000 + b"\n", "E0008", ":2:11", "the limit is 64 bits"),
    "control characters": (b"pipe 1\nconst \x1b[31mred = 1\n", "E0001", ":2:7", "U+001B"),
    "a later edition": (b"pipe 99\n", "E0006", ":1:1", "upgrade pipectl"),
    "import of nothing": (b'pipe 1\nimport "none.pipe" as n\n', "E0101", ":2:8", "searched: none.pipe"),
    "import of a folder": (b'pipe 1\nimport "folder.pipe" as n\n', "E0101", ":2:8", "is a directory"),
    "import of itself": (b'pipe 1\nimport "bad.pipe" as n\n', "E0102", ":2:8", "move what both need to a third file"),
    "import of bytes": (b'pipe 1\nimport "bytes.pipe" as n\n', "E0101", ":2:8", "not UTF-8"),
}


@pytest.fixture
def bad(folder):
    """Writes `bad.pipe`, beside a folder and a file of bytes that it may import."""
    (folder / "folder.pipe").mkdir()
    (folder / "bytes.pipe").write_bytes(b"\xff\xfe\xfd")

    def write(content):
        path = folder / "bad.pipe"
        path.write_bytes(content)
        return path.name

    return write


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize(("command", "code"), [("check", 1), ("run", 3)])
def test_one_clear_error(bad, call, what, command, code):
    content, error, *told = BAD[what]
    name = bad(content)
    start = time.monotonic()
    done = call(command, name)
    assert time.monotonic() - start < 10, "a file of 1 MB takes less than a second on any machine"
    assert done.code == code
    assert f"error[{error}]" in done.said
    assert "--> bad.pipe" in done.said
    for text in told:
        assert text in done.said
    assert len(done.said) < 10_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.said), "nothing of the file reaches the terminal raw"


@pytest.mark.parametrize("name", ["none.pipe", "no/such/folder/x.pipe", "loop.pipe", "x" * 300])
@pytest.mark.parametrize(("command", "code"), [("check", 1), ("run", 3), ("plan", 3), ("graph", 3)])
def test_a_path_that_can_not_be_read(bad, folder, call, name, command, code):
    (folder / "loop.pipe").symlink_to("loop.pipe")
    done = call(command, name)
    assert done.code == code
    assert "error[E0009]: can not read this file: " in done.said
    assert f"--> {name}" in done.said


@pytest.mark.parametrize(
    ("name", "hint"), [("none.pipe", "check the path"), ("folder.pipe", "name a .pipe file in it")]
)
def test_what_to_do_about_it(bad, call, name, hint):
    bad(b"")
    assert f"help: {hint}" in call("check", name).out


@pytest.mark.parametrize("command", ["run", "plan", "graph"])
def test_2_a_folder_where_one_file_is_meant(bad, call, command):
    bad(b"")
    done = call(command, "folder.pipe")
    assert done.code == 2
    assert "'folder.pipe' is a directory" in done.err


def test_a_device_without_an_end(call):
    assert "larger than 1 MiB" in call("check", "/dev/zero").out


def test_a_cycle_of_imports_shows_all_of_it(folder, call):
    for one, next_ in [("a", "b"), ("b", "c"), ("c", "a")]:
        (folder / f"{one}.pipe").write_text(f'pipe 1\nimport "{next_}.pipe" as n\n')
    done = call("check", "a.pipe")
    assert done.code == 1
    assert "files import each other: a.pipe -> b.pipe -> c.pipe -> a.pipe" in done.out
    assert "--> c.pipe:2:8" in done.out


def test_a_chain_of_imports_that_never_ends(folder, call):
    for i in range(200):
        (folder / f"m{i}.pipe").write_text(f'pipe 1\nimport "m{i + 1}.pipe" as n\n')
    done = call("check", "m0.pipe")
    assert done.code == 1
    assert "error[E0102]: imports are nested more than" in done.out


def test_a_thousand_mistakes_take_seconds_and_show_fifty(folder, call):
    lines = "".join(f"const A{i} = B{i}\n" for i in range(1000))
    (folder / "many.pipe").write_text(f"pipe 1\n{lines}")
    start = time.monotonic()
    done = call("check", "many.pipe")
    assert time.monotonic() - start < 30
    assert done.code == 1
    assert done.out.count("error[E0103]") == 50
    assert "950 not shown" in done.out


def test_a_byte_order_mark_and_windows_lines_are_fine(folder, call):
    (folder / "bom.pipe").write_bytes(b"\xef\xbb\xbfpipe 1\r\n" + ANSWER.replace("\n", "\r\n").encode())
    assert call("check", "bom.pipe").code == 0


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "Missing argument 'FILE'"),
        (("ok.pipe", "--no-such-option"), "No such option"),
        (("ok.pipe", "--input", "x"), "`--input x` has no value"),
        (("ok.pipe", "--input", "z=1"), "pipeline `p` has no input `z`"),
        (("ok.pipe",), "pipeline `p` needs x: i32"),
        (("ok.pipe", "--input", "x=1", "-p", "q"), "`q`"),
        (("ok.pipe", "--input", "x=1", "--set", "N"), "--set"),
    ],
)
def test_2_a_call_of_run_that_is_wrong(folder, call, args, told):
    (folder / "ok.pipe").write_text(f"pipe 1\n{ANSWER}")
    done = call("run", *args)
    assert done.code == 2, done.said
    assert told in done.err
    assert done.out == ""
