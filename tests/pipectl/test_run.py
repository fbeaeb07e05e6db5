"""`pipectl run` from end to end, in this process."""

import io
import json
import sys
import threading

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_table_of_answers_then_a_table_of_costs(hello, call):
    done = call("run", hello, "--input", "name=Ada", "--input", "name=Grace")
    assert (done.code, done.err) == (0, "")
    answers, costs, summary = done.out.split("\n\n")
    assert answers.splitlines() == [
        "request  greeting       length",
        "0        Hello, Ada!    11",
        "1        Hello, Grace!  13",
    ]
    head, *lines = costs.splitlines()
    assert head.split()[:4] == ["node", "rows", "batches", "rows/batch"]
    assert [(line.split()[0], line.split()[1]) for line in lines] == [
        ("hello.strict_1", "2"),
        ("hello.greeting", "2"),
        ("hello.length", "2"),
    ]
    shares = [int(line.split()[-2]) for line in lines]
    assert 97 <= sum(shares) <= 103
    assert summary.startswith("2 answers in ")


def test_json_keeps_stdout_for_answers(hello, call):
    done = call("run", hello, "--input", "name=Ada", "--format", "json")
    assert records(done.out) == [{"index": 0, "id": "0", "outputs": {"greeting": "Hello, Ada!", "length": 11}}]
    assert "1 answer in" in done.err


def test_failures_stand_in_their_place_and_others_go_on(hello, call):
    names = [f"name={n}" for n in ("a", "bad", "b", "bug", "c")]
    done = call("run", hello, *(x for n in names for x in ("--input", n)), "--format", "json")
    assert done.code == 4
    found = records(done.out)
    assert [r["index"] for r in found] == [0, 1, 2, 3, 4]
    assert [r.get("outputs", {}).get("greeting") for r in found] == [
        "Hello, a!",
        None,
        "Hello, b!",
        None,
        "Hello, c!",
    ]
    assert found[1]["error"]["code"] == "INVALID_ARGUMENT"
    assert found[3]["error"]["code"] == "INTERNAL"
    assert "ZeroDivisionError: oops" in found[3]["error"]["message"]
    assert found[3]["error"]["node"] == "hello.strict_1"
    assert "Traceback" not in done.err
    assert "2 failed" in done.err


def test_failures_in_a_table(hello, call):
    done = call("run", hello, "--input", "name=a", "--input", "name=bad")
    assert done.code == 4
    assert done.out.splitlines()[2].startswith("1        error INVALID_ARGUMENT: hello.strict_1: bad is no name")


def test_data_that_is_no_json_fails_its_request_only(folder, call):
    (folder / "loose.py").write_text(
        "import numpy as np\ndef loose(*, x): return {'x': np.float32(x) if x < 1 else x, 'nan': float('nan')}\n"
    )
    (folder / "loose.pipe").write_text(
        'pipe 1\nstage loose_stage(x: f32) -> (y: json)\n  using python("loose:loose")\n'
        "pipeline p(x: f32) -> (y: json) {\n  return y = loose_stage(x)\n}\n"
    )
    done = call("run", "loose.pipe", "--input", "x=0", "--input", "x=1", "--format", "json")
    bad, good = records(done.out)
    assert good["outputs"] == {"y": {"x": 1.0, "nan": None}}
    assert bad["error"]["node"] == "p.y"
    assert ".tolist() makes it JSON" in bad["error"]["message"]


def test_wrong_values_fail_their_request_only(hello, call):
    done = call("run", hello, "--input", "name=a", "--input", "k=1", "--input", 'k="x"', "--format", "json")
    good, bad = records(done.out)
    assert "outputs" in good
    assert bad["error"]["code"] == "INVALID_ARGUMENT"
    assert "`k`" in bad["error"]["message"]


def test_files_name_the_requests(hello, call, folder):
    for name in ("b", "a"):
        (folder / f"{name}.txt").write_text(name)
    done = call("run", hello, "--input", "name=@*.txt")
    assert done.out.splitlines()[:3] == [
        "name   greeting   length",
        "a.txt  Hello, a!  9",
        "b.txt  Hello, b!  9",
    ]


def test_lines_in_lines_out(hello, call, folder):
    lines = folder / "in.jsonl"
    lines.write_text('{"name": "a", "id": "x"}\n\n{"nam": "b"}\n{"name": "bad"}\n{"name": "c"}\n')
    done = call("run", hello, "--jsonl", lines, "--output", folder / "out.jsonl")
    assert done.code == 4
    found = records((folder / "out.jsonl").read_text())
    assert [r["id"] for r in found] == ["x", "1", "2", "3"]
    assert "line 3: no input `nam`" in found[1]["error"]["message"]
    assert found[3]["outputs"]["greeting"] == "Hello, c!"
    assert "error: request 1 (1): INVALID_ARGUMENT: line 3" in done.err
    assert done.out.splitlines()[0].split()[0] == "node"


def test_lines_from_stdin(hello, call, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b'{"name": "a"}\n'))
    monkeypatch.setattr(sys, "stdin", stdin)
    done = call("run", hello, "--jsonl", "-", "--format", "json")
    assert records(done.out)[0]["outputs"]["greeting"] == "Hello, a!"


def test_many_failures_are_not_all_told(hello, call, folder):
    (folder / "in.jsonl").write_text("{}\n" * 30)
    done = call("run", hello, "--jsonl", "in.jsonl", "--output", "out.jsonl")
    assert done.err.count("error: request") == 10
    assert "further failures are in the file only" in done.err
    assert len(records((folder / "out.jsonl").read_text())) == 30


def test_many_requests_form_batches(hello, call, folder):
    (folder / "in.jsonl").write_text("".join(json.dumps({"name": str(n)}) + "\n" for n in range(500)))
    done = call("run", hello, "--jsonl", "in.jsonl", "--output", "out.npz", "--in-flight", "100")
    assert done.code == 0, done.err
    with np.load(folder / "out.npz") as data:
        assert data["greeting"].tolist() == [f"Hello, {n}!" for n in range(500)]
    first = done.out.splitlines()[1].split()
    assert first[1] == "500"
    assert int(first[2]) <= 500


TIGHT = """
profile tight {
  greet { queue { max = 2 } }
  hello { max_inflight = 30 }
}
"""


def test_full_queues_slow_a_run_down_and_refuse_nothing(hello, call, folder):
    hello.write_text(hello.read_text() + TIGHT)
    (folder / "in.jsonl").write_text("".join(json.dumps({"name": str(n)}) + "\n" for n in range(200)))
    options = ("--profile", "tight", "--in-flight", "2000")
    done = call("run", hello, "--jsonl", "in.jsonl", "--output", "out.jsonl", *options)
    assert (done.code, done.err) == (0, "")
    assert len(records((folder / "out.jsonl").read_text())) == 200


def test_outputs_that_are_not_wanted_are_not_computed(hello, call):
    done = call("run", hello, "--input", "name=Ada", "--outputs", "greeting")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["request", "greeting"]
    assert ["hello.length", "0", "0", "-", "-", "-", "0", "%"] in lines


def test_metrics_and_trace(hello, call, folder):
    done = call("run", hello, "--input", "name=Ada", "--input", "name=bad", "--metrics", "m.prom", "--trace", "t.json")
    assert done.code == 4
    samples = {
        (s.name, s.labels.get("node"), s.labels.get("outcome")): s.value
        for family in parse((folder / "m.prom").read_text())
        for s in family.samples
        if s.name in ("pipe_requests_total", "pipe_node_rows_total")
    }
    assert samples["pipe_requests_total", None, "success"] == 1
    assert samples["pipe_requests_total", None, "failure"] == 1
    assert samples["pipe_node_rows_total", "hello.greeting", None] == 1
    trace = json.loads((folder / "t.json").read_text())["traceEvents"]
    assert {e["name"] for e in trace if e["ph"] == "X"} >= {"hello.greeting", "hello.length"}
    assert sorted(e["name"] for e in trace if e["ph"] == "b") == ["0", "1"]
    starts, ends = ({e["id"] for e in trace if e["ph"] == ph} for ph in "sf")
    assert starts == ends
    assert len(starts) == 2


def test_warm_up_is_not_reported(hello, call, folder):
    done = call("run", hello, "--input", "name=Ada", "--warmup", "5", "--metrics", "m.prom")
    assert "hello.greeting     1        1" in done.out
    assert 'pipe_node_rows_total{node="hello.greeting"' in (folder / "m.prom").read_text()
    assert "} 6.0" in (folder / "m.prom").read_text()


def test_a_timeout_fails_the_request(write, call, folder):
    pipe = write(
        'pipe 1\nstage wait(name: string) -> (out: string)\n  using python("{module}:Wait", folder = ".")\n'
        "pipeline p(name: string) -> (out: string) {{\n  return out = wait(name)\n}}\n"
    )
    stage = pipe.read_text().replace('folder = "."', f'folder = "{folder}"')
    pipe.write_text(stage)
    call_options = ("--timeout", "30ms", "--format", "json")

    def release() -> None:
        while not list(folder.glob("started-*")):
            pass
        threading.Timer(0.1, (folder / "go").touch).start()

    helper = threading.Thread(target=release)
    helper.start()
    done = call("run", pipe, "--input", "name=a", *call_options)
    helper.join()
    assert done.code == 4
    assert records(done.out)[0]["error"]["code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--input", "nme=x"), "did you mean `name`?"),
        ((), "pipeline `hello` needs name: string"),
        (("-p", "helo", "--input", "name=x"), "has no pipeline `helo`, but hello"),
        (("--input", "name=x", "--outputs", "lenght"), "has no output `lenght`, but greeting, length"),
        (("--input", "name=x", "--output", "a.csv"), "has no ending"),
        (("--input", "name=x", "--output", "none/a.npz"), "can not write"),
        (("--input", "name=x", "--timeout", "soon"), "no duration"),
        (("--input", "name=x", "--in-flight", "0"), "0 is not in the range"),
        (("--input", "name=x", "--format", "yaml"), "is not one of"),
        (("--input", "name=x", "--set", "N"), "is not NAME=VALUE"),
        (("--jsonl", "none.jsonl"), "No such file"),
        (("--unknown",), "No such option"),
    ],
)
def test_usage_mistakes(hello, call, args, message):
    done = call("run", hello, *args)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_several_pipelines_need_a_choice(write, call):
    pipe = write(
        'pipe 1\nstage count(text: string[*]) -> (length: i64[*])\n  using python("{module}:count")\n'
        "pipeline a(x: string) -> (n: i64) {{\n  return n = count(x)\n}}\n"
        "pipeline b(x: string) -> (n: i64) {{\n  return n = count(x)\n}}\n"
    )
    assert "choose with -p: a, b" in call("run", pipe, "--input", "x=1").err
    assert call("run", pipe, "-p", "b", "--input", "x=1").code == 0
