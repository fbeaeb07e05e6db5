"""Profiles: what they address, what wins, what they may say."""

from __future__ import annotations

import pytest

from pipeline_dsl import ir
from pipeline_dsl.check import Options

from .checking import good, options, program_of

STAGES = """
stage encoder(x: f32[*, ~L]) -> (y: f32[*]) where L <= 512 using onnx("m/{version}.onnx", versions = [3, 4]) {
  ragged { L = pad(0) }
}
stage pool(x: f32[*]) -> (y: f32[*]) using python("m:pool")
stage whole(x: f32) -> (y: f32) using python("m:whole")
pipeline embed(x: f32[*, ~L], z: f32) -> (y: f32[*], w: f32) {
  first = encoder(x)
  return y = pool(first), w = whole(z)
}
"""


def schedule(profiles: str, name: str = "a", given: Options | None = None) -> ir.Schedule:
    return good(STAGES + profiles, given or options(profile=name)).schedule


def codes(block: str) -> list[str]:
    """Errors and warnings of one profile."""
    return [
        c
        for c in program_of(f"{STAGES}profile a {{\n{block}\n}}", options(profile="a"))[1]
        if c not in ("W0201", "W0599")
    ]


def values(settings: ir.Settings) -> dict[str, object]:
    return {key: setting.value for key, setting in settings.items()}


def test_without_a_profile_nothing_is_set() -> None:
    assert good(STAGES + "profile a { pool { threads = 2 } }").schedule == ir.Schedule()


def test_a_stage_wins_over_everything() -> None:
    found = schedule("profile a { * { instances = 2, threads = 3 }\n pool { threads = 4 } }")
    assert values(found.stages["pool"]) == {"instances": 2, "threads": 4}
    assert values(found.stages["encoder"]) == {"instances": 2, "threads": 3}


def test_a_child_wins_over_its_parents_key_by_key_and_lists_replace() -> None:
    text = """
profile a extends b, c { pool { batching { max = 16 } } }
profile b { pool { batching { max = 8, delay = 1ms, preferred = [2, 4] } } }
profile c extends b { pool { batching { preferred = [8] } } }
"""
    assert values(schedule(text).stages["pool"]) == {
        "batching.max": 16,
        "batching.delay": 1_000_000,
        "batching.preferred": (8,),
    }


def test_what_is_closer_wins_over_what_is_younger() -> None:
    text = "profile a extends b { * { threads = 1 } }\nprofile b { pool { threads = 2 } }"
    assert values(schedule(text).stages["pool"]) == {"threads": 2}


def test_call_sites_and_pipelines_and_versions() -> None:
    text = """
profile a {
  encoder { threads = 1 }
  encoder@4 { device = cuda(1) }
  embed { timeout = 200ms, max_inflight = 8 }
  embed.first { priority = 1, batching { max = 4 } }
}
"""
    found = schedule(text)
    assert values(found.stages["encoder@4"]) == {"threads": 1, "device": "cuda:1"}
    assert values(found.pipelines["embed"]) == {"timeout": 200_000_000, "max_inflight": 8}
    assert values(found.nodes["embed.first"]) == {"priority": 1, "batching.max": 4}


def test_stages_of_modules_go_by_their_import() -> None:
    module = 'pipe 1\nstage twice(x: f32[*]) -> (y: f32[*]) using python("m:twice")\n'
    text = 'import "m.pipe" as m\nfrom "m.pipe" import twice as t\n'
    text += "pipeline p(x: f32[*]) -> (y: f32[*]) {\n  return y = t(m.twice(x))\n}\n"
    for selector in ("m.twice", "t"):
        given = options({"m.pipe": module}, profile="a")
        found = good(f"{text}profile a {{ {selector} {{ threads = 2 }} }}", given).schedule
        assert values(found.stages["m.twice"]) == {"threads": 2}


def test_a_setting_knows_where_it_comes_from() -> None:
    found = schedule("profile a extends b { pool { threads = 2 } }\nprofile b { pool { instances = 2 } }")
    origins = {key: setting.origin for key, setting in found.stages["pool"].items()}
    line = STAGES.count("\n") + 2
    assert origins == {"threads": f"profile a, main.pipe:{line}", "instances": f"profile b, main.pipe:{line + 1}"}


def test_batching_for_all_leaves_out_stages_without_rows() -> None:
    found = schedule("profile a { * { batching { max = 8 }, threads = 1 } }")
    assert values(found.stages["whole"]) == {"threads": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("device = cpu", "cpu"),
        ("device = any", "any"),
        ("device = cuda(0)", "cuda:0"),
        ("device = cuda([0, 1])", "cuda:0,1"),
        ("isolate = process", "process"),
        ("batching.delay = auto", "auto"),
        ("queue { level@1 { max = 3 }, levels = 2 }", 3),
        ("warmup { L = 8 }", (8,)),
        ("memory = 50%", 0.5),
        ("memory = 1GiB", 2**30),
        ("limit { resource.bus = 2 }", 2),
    ],
)
def test_values(text: str, expected: object) -> None:
    found = schedule(f"profile a {{ encoder {{ {text} }} }}")
    assert next(iter(found.stages["encoder"].values())).value == expected


def test_words_win_over_consts() -> None:
    found = schedule("const cpu = 3\nconst N = 4\nprofile a { pool { device = cpu, threads = N } }")
    assert values(found.stages["pool"]) == {"device": "cpu", "threads": 4}


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("encodr { threads = 1 }", "E0601"),
        ("encoder@9 { threads = 1 }", "E0601"),
        ("embed.frist { threads = 1 }", "E0601"),
        ("N = 3", "E0603"),
        ("pool { treads = 1 }", "E0603"),
        ("pool { batching { maximum = 1 } }", "E0603"),
        ("pool { kv { page = 1 } }", "E0603"),
        ("pool { warmup { L = [8] } }", "E0603"),
        ("embed { threads = 1 }", "E0603"),
        ("pool { batching = 8 }", "E0604"),
        ("pool { threads { max = 1 } }", "E0604"),
        ("pool { batching { delay = 5 } }", "E0604"),
        ("pool { device = gpu }", "E0604"),
        ("pool { device = cuda([0, 0]) }", "E0604"),
        ("pool { instances = 0 }", "E0604"),
        ("pool { instances = N }", "E0103"),
        ("whole { batching { max = 8 } }", "E0605"),
        ("encoder { warmup { L = [1024] } }", "E0606"),
        ("encoder { warmup { batch = [128] } }", "E0606"),
        ("encoder { batching { preferred = [128] } }", "E0608"),
        ("encoder { queue { level@2 { max = 8 } } }", "E0608"),
        ("embed.first { priority = 2 }", "E0608"),
        ("pool { cache { size = 1MiB } }", "E0609"),
        ("pool { threads = 1, threads = 2 }", "E0104"),
        ("encoder { batching { max = 1, delay = 1ms } }", "W0601"),
        ("encoder { device = cuda(0), sms = 8, graphs = [4] }", "W0601"),
    ],
)
def test_refused(block: str, code: str) -> None:
    assert codes(block) == [code]


def test_what_two_profiles_say_together_is_checked() -> None:
    text = "profile a extends b { pool { batching { max = 2 } } }\nprofile b { pool { batching { preferred = [4] } } }"
    assert program_of(STAGES + text, options(profile="b"))[1] == []
    assert program_of(STAGES + text, options(profile="a"))[1] == ["E0608"]


def test_all_profiles_are_checked_if_none_is_named() -> None:
    text = "profile a { pool { treads = 1 } }\nprofile b { pool { device = gpu } }"
    assert program_of(STAGES + text)[1] == ["E0603", "E0604"]
    assert program_of(STAGES + text, options(profile="b"))[1] == ["E0604"]


def test_unknown_profiles_and_cycles() -> None:
    assert program_of(STAGES, options(profile="nope"))[1] == ["E0602"]
    cycle = "profile a extends b { pool { threads = 1 } }\nprofile b extends a { pool { threads = 2 } }"
    assert program_of(STAGES + cycle)[1] == ["E0602"]


def test_nodes_of_a_broken_pipeline_are_not_called_unknown() -> None:
    broken = STAGES.replace("encoder(x)", "encoder(q)")
    _, found = program_of(f"{broken}profile a {{ embed.first {{ threads = 1 }} }}")
    assert "E0601" not in found


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("encoder { versions = [1, 9] }", "E0405"),
        ("encoder { version = 9 }", "E0405"),
        ("encoder { version = latest }", ""),
        ("embed { rate_limit { rate = 0 } }", "E0604"),
        ('embed { rate_limit { rate = 1, by = "x-user" } }', "E0604"),
        ('embed { rate_limit { rate = 1, by = header("X-User") } }', ""),
    ],
)
def test_versions_and_rates(block: str, code: str) -> None:
    text = f"{STAGES}\nprofile a {{ {block} }}"
    assert [c for c in program_of(text, options(profile="a"))[1] if c.startswith("E")] == ([code] if code else [])
