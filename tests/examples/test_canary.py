"""The canary: an arm sticks to its customer, in every process; the shadow is asked and changes nothing."""

import json
import re
from collections import defaultdict

import pipectl
from tests.examples.counters import counted


def test_shares_and_counters(canary, python):
    printed = python(canary / "watch.py")
    assert re.search(r"^(\d+) customers kept the canary, (\d+) were added to it$", printed, re.MULTILINE)
    counts = re.findall(r"(stable|canary): (\d+) customers, (\d+) wines", printed)
    assert [arm for arm, _, _ in counts] == ["stable", "canary"] * 2
    assert all(sum(int(c[1]) for c in week) == 30 for week in (counts[:2], counts[2:]))
    assert all(sum(int(c[2]) for c in week) == 89 for week in (counts[:2], counts[2:]))


def test_an_arm_sticks_in_every_process(canary, python, tmp_path):
    arms = []
    for name in ("first", "second"):
        output = tmp_path / f"{name}.jsonl"
        requests = ("--jsonl", canary / "data" / "requests.jsonl", "--output", output)
        python("-m", "pipectl", "run", canary / "canary.pipe", *requests)
        arms.append([json.loads(line)["outputs"]["arm"] for line in output.read_text(encoding="utf-8").splitlines()])
    assert arms[0] == arms[1]
    by_customer = defaultdict(set)
    for i, arm in enumerate(arms[0]):
        by_customer[i % 30].add(arm)
    assert all(len(seen) == 1 for seen in by_customer.values())
    assert {"stable", "canary"} == set(arms[0])


def test_the_shadow_is_asked_and_answers_nobody(canary):
    wines = json.loads((canary / "data" / "wines.json").read_text(encoding="utf-8"))
    requests = [{"customer": str(i), "x": wine["x"]} for i, wine in enumerate(wines)]
    with pipectl.load(canary / "canary.pipe") as app:
        answers = list(app["taste"].map(requests))
        app.drain()
        metrics = app.metrics()
    assert {answer["arm"] for answer in answers} == {"stable", "canary"}
    taken = {
        arm: counted(metrics, "pipe_arm_elements_total", "taste.cultivar", arm=arm) for arm in ("stable", "canary")
    }
    assert taken == {arm: sum(answer["arm"] == arm for answer in answers) for arm in taken}
    shadowed = counted(metrics, "pipe_shadow_elements_total", "taste.cultivar", arm="next")
    assert 0 < shadowed < len(wines)
    assert counted(metrics, "pipe_node_rows_total", "taste.wine_3") <= shadowed


def test_the_command_says_why(canary, python):
    requests = ("--jsonl", canary / "data" / "requests.jsonl", "--explain-route")
    printed = python("-m", "pipectl", "run", canary / "canary.pipe", *requests)
    assert len(re.findall(r"taste.cultivar +(?:stable|canary) +hash of 'customer \d+': 0\.\d+", printed)) == 89
