import json

import pytest

from pipectl.errors import OptionError
from pipectl.inputs import from_lines, from_options
from tests.pipectl.ports import pipeline, port

NAMED = pipeline(port("name", "string"), port("k", "i64", has_default=True, default=3))


def test_several_values_are_several_requests_and_single_ones_repeat():
    requests = from_options(NAMED, ["name=Ada", "name=Grace", "k=7"])
    assert requests.count == 2
    assert [(a.id, a.inputs) for a in requests.asks] == [
        ("0", {"name": "Ada", "k": 7}),
        ("1", {"name": "Grace", "k": 7}),
    ]


def test_values_may_hold_equals_signs_and_start_with_at():
    [ask] = from_options(NAMED, ["name=a=b"]).asks
    assert ask.inputs == {"name": "a=b"}
    [ask] = from_options(NAMED, ["name=@@me"]).asks
    assert ask.inputs == {"name": "@me"}


def test_a_glob_is_several_requests_named_by_their_files_in_order(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.txt").write_text(name)
    requests = from_options(NAMED, [f"name=@{tmp_path}/*.txt"])
    assert requests.count == 3
    asks = list(requests.asks)
    assert [a.inputs["name"] for a in asks] == ["a", "b", "c"]
    assert [a.id for a in asks] == [str(tmp_path / f"{n}.txt") for n in "abc"]


def test_a_name_with_magic_letters_is_a_file_if_there_is_one(tmp_path):
    (tmp_path / "a[1].txt").write_text("odd")
    [ask] = from_options(NAMED, [f"name=@{tmp_path}/a[1].txt"]).asks
    assert ask.inputs["name"] == "odd"


def test_files_are_read_one_request_at_a_time(tmp_path):
    files = [tmp_path / f"{n}.txt" for n in range(3)]
    for file in files:
        file.write_text(file.stem)
    asks = from_options(NAMED, [f"name=@{tmp_path}/*.txt"]).asks
    assert next(asks).inputs["name"] == "0"
    files[1].unlink()
    gone, last = asks
    assert "can not read" in gone.error
    assert "No such file" in gone.error
    assert (last.error, last.inputs["name"]) == ("", "2")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["nme=x"], "pipeline `p` has no input `nme`", "did you mean `name`?"),
        (["zzzzzz=x"], "pipeline `p` has no input `zzzzzz`", "inputs: name, k"),
        (["name"], "`--input name` has no value", "write --input name=VALUE"),
        ([], "pipeline `p` needs name: string", "give --input name=.., or --jsonl FILE"),
        (["name=x", "k=three"], "input `k`: not JSON", "write numbers"),
        (["name=@no/such/file"], "there is no file `no/such/file`", "write @@"),
        (["name=@no/such/*"], "no file matches `no/such/*`", "write @@"),
        (["name=a", "name=b", "k=1", "k=2", "k=3"], "input `name` has 2 values and `k` has 3", "one for each"),
    ],
)
def test_mistakes_in_options(options, message, hint):
    with pytest.raises(OptionError) as error:
        from_options(NAMED, options)
    assert message in str(error.value)
    assert hint in error.value.hint


def test_nothing_needed_is_one_empty_request():
    optional = pipeline(port("a", "string?"), port("k", "i64", has_default=True))
    [ask] = from_options(optional, []).asks
    assert ask.inputs == {}


def lines(*objects: object) -> list[bytes]:
    return [(o if isinstance(o, str) else json.dumps(o)).encode() + b"\n" for o in objects]


def test_lines_are_requests():
    requests = from_lines(NAMED, lines({"name": "Ada"}, "", {"name": "Grace", "id": "g", "k": 1}), ["k=9"])
    assert requests.count is None
    assert [(a.index, a.id, a.inputs) for a in requests.asks] == [
        (0, "0", {"name": "Ada", "k": 9}),
        (1, "g", {"name": "Grace", "k": 1}),
    ]


def test_id_is_a_value_where_a_port_has_that_name():
    [ask] = from_lines(pipeline(port("id", "string")), lines({"id": "x"}), []).asks
    assert (ask.id, ask.inputs) == ("0", {"id": "x"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: "),
        ("3", "line 2: not a JSON object"),
        ({"nam": "x"}, "line 2: no input `nam`; did you mean `name`?"),
    ],
)
def test_a_bad_line_fails_alone(line, message):
    good, bad, last = from_lines(NAMED, lines({"name": "a"}, line, {"name": "b"}), []).asks
    assert (good.error, last.error) == ("", "")
    assert bad.error.startswith(message)


def test_a_line_that_is_no_text_fails_alone():
    bad, good = from_lines(NAMED, [b'{"name": "\xff"}\n', *lines({"name": "a"})], []).asks
    assert "not JSON" in bad.error
    assert not good.error


def test_lines_and_several_values_do_not_go_together():
    with pytest.raises(OptionError, match="takes one value"):
        from_lines(NAMED, [], ["name=a", "name=b"])
