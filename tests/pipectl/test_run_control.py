"""`pipectl run` of a file with every construct: what comes out, and how arms, items and attempts are told."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

TEXT = """pipe 1

stage greet(name: string[*]) -> (greeting: string[*])
  using python("{module}:greet")

stage strict(name: string[*]) -> (same: string[*])
  using python("{module}:strict")

stage count(text: string[*]) -> (length: i64[*])
  using python("{module}:count")

pipeline guests(host: string, name: string[N]) -> (line: string[N], known: bool[N], arm: string) {{
  line, known = map one in name {{
    safe, ok = try (retries = 1) {{
      yield strict(one), true
    }} fallback err {{
      yield "you", false
    }}
    long = count(one)
    text = if long > 5 {{
      yield safe
    }} else {{
      yield greet(safe)
    }}
    yield text, ok
  }}
  arm = route by host {{
    to stable weight 90% {{
      yield "stable"
    }}
    to canary weight 10% {{
      yield "canary"
    }}
    shadow next sample 100% {{
      yield greet(host)
    }}
  }}
  return line, known, arm
}}
"""

HOSTS = ("Ada", "Grace", "Edsger")


@pytest.fixture
def guests(write, folder):
    asks = [{"host": host, "name": ["Bob", "bug", "Leonard"]} for host in HOSTS]
    (folder / "asks.jsonl").write_text("\n".join(map(json.dumps, asks)))
    return write(TEXT, "guests.pipe")


def test_routes_are_explained_as_json(guests, call):
    done = call("run", guests, "--jsonl", "asks.jsonl", "--explain-route", "--format", "json")
    assert done.code == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    for answer in found:
        outputs = answer["outputs"]
        assert outputs["line"] == ["Hello, Bob!", "Hello, you!", "Leonard"]
        assert outputs["known"] == [True, False, True]
        (route,) = answer["routes"]
        assert (route["node"], route["arm"]) == ("guests.arm", outputs["arm"])
        lower, upper = route["share"]
        assert lower <= route["place"] < upper
    assert [a["routes"][0]["key"] for a in found] == [repr(host) for host in HOSTS]
    assert "hash of" not in done.err
    again = call("run", guests, "--jsonl", "asks.jsonl", "--format", "json", "--explain-route")
    assert [json.loads(line)["routes"] for line in again.out.splitlines()] == [a["routes"] for a in found]


def test_routes_are_explained_in_a_table(guests, call):
    done = call("run", guests, "--jsonl", "asks.jsonl", "--explain-route")
    assert done.code == 0, done.err
    _, table, costs, _ = done.out.split("\n\n")
    head, *lines = table.splitlines()
    assert head.split() == ["request", "route", "arm", "why"]
    assert len(lines) == 3
    assert all(f"hash of {host!r}: 0." in line for host, line in zip(HOSTS, lines, strict=True))
    assert {line.split()[0] for line in costs.splitlines()[1:]} >= {"guests.long", "guests.strict_1"}


def test_arms_items_and_attempts_are_counted_and_traced(guests, call, folder):
    done = call("run", guests, "--jsonl", "asks.jsonl", "--metrics", "m.prom", "--trace", "t.json")
    assert done.code == 0, done.err
    samples = {
        (s.name, *sorted(v for k, v in s.labels.items() if k != "pipeline")): s.value
        for family in parse((folder / "m.prom").read_text())
        for s in family.samples
    }
    assert samples["pipe_map_items_total", "guests.line", "success"] == 9
    assert samples["pipe_try_total", "fallback", "guests.safe"] == 3
    assert samples["pipe_arm_elements_total", "guests.text", "then"] == 3
    assert samples["pipe_arm_elements_total", "else", "guests.text"] == 6
    events = json.loads((folder / "t.json").read_text())["traceEvents"]
    assert {e["name"] for e in events if e["ph"] == "X"} >= {"guests.long", "guests.strict_1"}
    starts, ends = ({e["id"] for e in events if e["ph"] == ph} for ph in "sf")
    assert starts == ends != set()
