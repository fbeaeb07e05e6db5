"""check, plan, graph, fmt and explain; what they print is made, and proved, in pipeline_dsl."""

import json
import os
import stat

import pytest

from pipectl import compile  # noqa: A004 - the public name
from pipeline_dsl.plan import Gpu

UGLY = 'pipe 1\nconst  A=3 # kept\nstage s(x:string[*])->(y:string[*])\n  using python("m:f")\n'
NEAT = 'pipe 1\nconst A = 3  # kept\nstage s(x: string[*]) -> (y: string[*])\n  using python("m:f")\n'
BAD = "pipe 1\npipeline p(x: string) -> (y: string) {{\n  return y = nothing(x)\n}}\n"


# ---- check


def test_check_says_that_all_is_well(hello, call):
    hello.write_text(hello.read_text().replace(", k: i64 = 3", ""))
    assert call("check", hello).out == f"no mistakes in {hello}\n"
    assert call("check", hello, hello).out == "no mistakes in 2 files\n"


def test_check_of_several_files_tells_all_mistakes(write, call):
    done = call("check", write(BAD, "a.pipe"), write(name="ok.pipe"), write(BAD, "b.pipe"))
    assert done.code == 1
    assert "a.pipe:3:" in done.out
    assert "b.pipe:3:" in done.out


def test_check_warnings_are_no_failure(write, call):
    done = call("check", write("const A = 3\n"))
    assert done.code == 0
    assert "warning[W0002]" in done.out


GPU = """
stage s(x: string[*]) -> (y: string[*])
  using python("m:f")
pipeline p(x: string[*]) -> (y: string[*]) {{
  return y = s(x)
}}
profile gpu {{ s {{ device = cuda(1) }} }}
"""


def test_devices_are_looked_for_where_the_machine_is_known(write, call, monkeypatch):
    monkeypatch.setattr("pipectl.hardware.gpus", tuple)
    file = write(f"pipe 1\n{GPU}")
    assert call("check", file).code == 0
    assert "E0607" in call("check", file, "--host").out
    assert call("plan", file).code == 0
    refused = call("plan", file, "--profile", "gpu")
    assert (refused.code, "`cuda(1)`: this machine has no GPU" in refused.err) == (3, True)
    assert "cuda:1" in call("plan", file, "--profile", "gpu", "--offline").out
    assert "E0607" in call("run", file, "--profile", "gpu", "--input", "x=a").err


def test_check_json(write, call):
    done = call("check", write(BAD), "--format", "json")
    assert done.code == 1
    [found] = [d for d in json.loads(done.out) if d["code"] == "E0103"]
    assert found.keys() >= {"code", "severity", "message", "file", "line", "column", "end_line", "end_column", "help"}
    assert (found["line"], found["file"].endswith("hello.pipe")) == (3, True)


def test_check_github_and_sarif(write, call):
    pipe = write(BAD)
    assert call("check", pipe, "--format", "github").out.startswith("::error file=")
    sarif = json.loads(call("check", pipe, "--format", "sarif").out)
    assert sarif["version"] == "2.1.0"
    assert sarif["runs"][0]["tool"]["driver"]["name"] == "pipectl"


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_check_machine_forms_are_whole_without_mistakes(hello, call, form):
    json.loads(call("check", hello, "--format", form).out)


def test_check_takes_params_and_profile(write, call):
    pipe = write("pipe 1\nparam N: i64 = 1 {{ max = 5 }}\nprofile big {{ N = 9 }}\n", "n.pipe")
    assert call("check", pipe, "--set", "N=6").code == 1
    assert call("check", pipe, "--profile", "none").code == 1
    assert "E0106" in call("check", pipe, "--profile", "big").out


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"\xff\xfe", b"(" * 1_000_000])
def test_check_of_files_that_are_no_pipelines(call, folder, content):
    (folder / "x.pipe").write_bytes(content)
    done = call("check", "x.pipe")
    assert done.code == 1
    assert "x.pipe" in done.out
    assert done.err == ""


def test_check_of_no_file(call, folder):
    assert call("check", "none.pipe").code == 1
    assert call("check", folder).code == 1


# ---- plan and graph


def test_plan(hello, call):
    done = call("plan", hello)
    assert done.code == 0
    assert "pipeline hello(name: string" in done.out
    assert "hello.greeting" in done.out


def test_plan_as_a_page(hello, call, folder):
    printed = call("plan", hello, "--format", "html").out
    assert printed.startswith("<!doctype html>")
    call("plan", hello, "-o", folder / "plan.html")
    assert (folder / "plan.html").read_text(encoding="utf-8") == printed
    call("plan", hello, "-o", folder / "plan.txt")
    assert (folder / "plan.txt").read_text(encoding="utf-8") == call("plan", hello).out


@pytest.mark.parametrize(
    ("form", "start"), [("dot", "digraph"), ("svg", "<svg"), ("mermaid", "flowchart"), ("json", "{")]
)
def test_graph(hello, call, folder, form, start):
    done = call("graph", hello, "--format", form)
    assert (done.code, done.out.startswith(start)) == (0, True)
    suffix = {"mermaid": "mmd"}.get(form, form)
    assert call("graph", hello, "-o", f"g.{suffix}").out == ""
    assert (folder / f"g.{suffix}").read_text() == done.out


def test_graph_json_has_nodes_and_typed_edges(hello, call):
    data = json.loads(call("graph", hello, "--format", "json").out)
    names = [n["name"] for n in data["nodes"]]
    assert data["pipeline"] == "hello"
    edge = next(e for e in data["edges"] if names[e["to"]] == "greeting" and names[e["from"]] == "strict_1")
    assert edge["values"] == ["string"]
    assert next(n for n in data["nodes"] if n["name"] == "strict_1")["device"] == "cpu"


def test_graph_json_holds_what_is_inside_constructs(write, call):
    file = write(
        """pipe 1
stage s(x: f32[*]) -> (y: f32[*]) using null()
pipeline p(xs: f32[N]) -> (ys: f32[N]) where N <= 9 {{
  ys = map x in xs {{
    yield s(x)
  }}
  return ys
}}
"""
    )
    nodes = json.loads(call("graph", file, "--format", "json").out)["nodes"]
    (region,) = next(node for node in nodes if node["kind"] == "control")["regions"]
    assert [node["kind"] for node in region["nodes"]] == ["item", "call", "yield"]
    assert [(edge["from"], edge["to"]) for edge in region["edges"]] == [(0, 1), (1, 2)]


# ---- devices

FORK = """pipe 1
stage a(x: f32[*, 4]) -> (y: f32[*, 4]) using null()
stage b(x: f32[*, 4], z: f32[*, 4]) -> (y: f32[*, 4]) using onnx("b.onnx")
pipeline p(x: f32[N, 4]) -> (y: f32[N, 4]) {{
  l = a(x)
  r = a(x)
  return y = b(l, r)
}}
profile gpu {{ * {{ device = cuda(0) }} }}
"""


def test_device_goes_before_the_profile(write, call, monkeypatch):
    monkeypatch.setattr("pipectl.hardware.gpus", tuple)
    file = write(FORK)
    assert call("plan", file, "--profile", "gpu").code == 3
    assert "cuda" not in call("plan", file, "--profile", "gpu", "--device", "cpu").out.partition("profile gpu\n")[0]
    simulated = call("plan", file, "--profile", "gpu", "--device", "sim").out
    assert "streams: 2 on sim:0 (0 first), 1 event and 1 wait for 2 edges; 3 copies between devices" in simulated
    assert "p.r  a(x = x)         sim:0 stream 1" in simulated
    assert "'gpu' is not one of 'cpu', 'cuda', 'sim'" in call("plan", file, "--device", "gpu").err


@pytest.mark.parametrize("command", ["plan", "run", "test", "serve"])
def test_device_cuda_needs_a_gpu(write, call, monkeypatch, folder, command):
    monkeypatch.setattr("pipectl.hardware.gpus", tuple)
    file = write(FORK)
    (folder / "cases.toml").write_text("[[case]]\ninputs.x = [[1.0, 2.0, 3.0, 4.0]]\n")
    more = {"run": ("--input", "x=[[1,2,3,4]]"), "test": ("--cases", folder / "cases.toml")}.get(command, ())
    if command == "serve":
        more = ("--grpc", "none", "--metrics", "none", "--http", "127.0.0.1:0")
    refused = call(command, file, "--device", "cuda", *more)
    assert refused.code != 0
    assert "`--device cuda`: this machine has no GPU" in refused.err + refused.out


def test_device_cuda_takes_the_gpus_that_are_there(write, call, monkeypatch):
    monkeypatch.setattr("pipectl.hardware.gpus", lambda: (Gpu("A", 100, used=50), Gpu("B", 100)))
    assert "onnx  cuda:1" in call("plan", write(FORK), "--device", "cuda").out


def test_devices_and_serial_reach_the_plan(write, monkeypatch):
    monkeypatch.setattr("pipectl.hardware.gpus", tuple)
    plan = compile(write(FORK), profile="gpu", device="sim", serial=True)
    assert (plan.serial, {step.stream for step in plan.pipelines["p"].steps}) == (True, {0})


def test_run_and_test_serially(hello, call, folder):
    assert call("run", hello, "--serial", "--device", "cpu", "--input", "name=Ada").code == 0
    (folder / "cases.toml").write_text("[[case]]\ninputs.name = 'Ada'\nexpect.greeting = 'Hello, Ada!'\n")
    assert call("test", hello, "--serial", "--device", "cpu", "--cases", folder / "cases.toml").code == 0


def test_graph_of_the_schedule(write, call):
    file = write(FORK)
    data = json.loads(call("graph", file, "--format", "json", "--schedule", "--device", "sim").out)
    devices = {node["name"]: node["device"] for node in data["nodes"] if node["device"]}
    assert devices == {"l": "sim:0 stream 0", "r": "sim:0 stream 1", "y": "sim:0 stream 0"}
    names = [node["name"] for node in data["nodes"]]
    crossing = {(names[e["from"]], names[e["to"]]): e.get("crossing") for e in data["edges"]}
    assert crossing[("r", "y")] == "event"
    assert crossing[("l", "y")] is None
    assert crossing[("x", "l")] == crossing[("y", "y")] == "copy"
    plain = json.loads(call("graph", file, "--format", "json", "--device", "sim").out)
    assert not any("crossing" in edge for edge in plain["edges"])


def test_graph_needs_a_format_it_knows(hello, call):
    assert "give --format" in call("graph", hello, "-o", "g.png").err


# ---- fmt


def test_fmt_writes_and_says_what_changed(write, call, folder):
    ugly, neat = folder / "ugly.pipe", folder / "neat.pipe"
    ugly.write_text(UGLY)
    neat.write_text(NEAT)
    os.chmod(ugly, 0o640)
    done = call("fmt", ugly, neat)
    assert (done.code, done.err) == (0, "1 reformatted, 1 unchanged\n")
    assert ugly.read_text() == NEAT
    assert stat.S_IMODE(ugly.stat().st_mode) == 0o640
    assert sorted(os.listdir(folder)) == ["neat.pipe", "ugly.pipe"]


def test_fmt_of_folders_takes_pipe_files_below(call, folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "a.pipe").write_text(UGLY)
    (folder / "other.txt").write_text(UGLY)
    assert call("fmt", ".").err == "1 reformatted, 0 unchanged\n"
    assert (folder / "other.txt").read_text() == UGLY


def test_fmt_keeps_a_link_a_link(call, folder):
    (folder / "a.pipe").write_text(UGLY)
    (folder / "link.pipe").symlink_to("a.pipe")
    call("fmt", "link.pipe")
    assert (folder / "link.pipe").is_symlink()
    assert (folder / "a.pipe").read_text() == NEAT


def test_fmt_check_writes_nothing(call, folder):
    (folder / "a.pipe").write_text(UGLY)
    done = call("fmt", "--check", "a.pipe")
    assert done.code == 1
    assert done.err == "would reformat a.pipe\n1 would be reformatted, 0 unchanged\n"
    assert (folder / "a.pipe").read_text() == UGLY
    (folder / "a.pipe").write_text(NEAT)
    assert call("fmt", "--check", "a.pipe").code == 0


def test_fmt_diff(call, folder):
    (folder / "a.pipe").write_text(UGLY)
    done = call("fmt", "--diff", "a.pipe")
    assert done.code == 1
    assert "-const  A=3 # kept\n" in done.out
    assert "+const A = 3  # kept\n" in done.out
    assert (folder / "a.pipe").read_text() == UGLY
    assert "\x1b[32m+const" in call("fmt", "--diff", "a.pipe", "--color", "always").out


def test_fmt_stdin_to_stdout(call, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(UGLY))
    done = call("fmt", "-")
    assert (done.code, done.out, done.err) == (0, NEAT, "")


def test_fmt_of_a_file_that_does_not_parse(call, folder):
    (folder / "a.pipe").write_text("pipe 1\nstage (\n")
    done = call("fmt", "a.pipe")
    assert done.code == 3
    assert "a.pipe:2" in done.err
    assert call("fmt", "none.pipe").code == 2


# ---- explain and help


def test_explain(call):
    done = call("explain", "e0001")
    assert done.code == 0
    assert "E0001" in done.out
    listed = call("explain").out.splitlines()
    assert any(line.startswith("E0103  ") for line in listed)


def test_explain_what_shows_when_a_stage_is_loaded(call):
    assert call("explain", "E0310").out.startswith("# E0310: signature disagrees with the artifact\n")


def test_explain_an_unknown_code(call):
    done = call("explain", "E9999")
    assert done.code == 2
    assert "there is no code `E9999`" in done.err


def test_summaries_are_the_first_lines_of_the_commands(call):
    from importlib import import_module

    from pipectl.__main__ import COMMANDS, module_of

    for name, summary in COMMANDS.items():
        command = import_module(module_of(name)).command
        assert command.name == name
        assert command.help.splitlines()[0] == summary
        assert summary in call("--help").out
        assert call(name, "--help").code == 0
