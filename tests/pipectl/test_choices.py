"""`run --explain-route`: which arm, and why, for each request."""

from typing import Any

from executor.trace import Recorder, RouteRecord
from pipectl.answer import Answer
from pipectl.choices import SHOWN, Choices
from pipectl.outputs import record
from pipectl.runner import Done


class FakeResponse:
    """What choices read of a response."""

    def __init__(self, serial: int) -> None:
        self.serial = serial


def done(index: int, serial: int | None) -> Done:
    response: Any = None if serial is None else FakeResponse(serial)
    return Done(Answer(index, f"id{index}", {}), response)


def chose(serial: int, arm: str, key: str | None = None) -> RouteRecord:
    return RouteRecord("r", serial, "rank.score", arm, 0.034, 0.0, 0.1, key)


def test_each_answer_gets_its_own_choices():
    recorder = Recorder()
    choices = Choices(recorder)
    recorder.routes += [chose(1, "canary", "'ann'"), chose(2, "stable"), chose(1, "stable")]
    first, second, failed = (choices.explained(d) for d in (done(0, 1), done(1, 2), done(2, None)))
    assert [r.arm for r in first.routes] == ["canary", "stable"]
    assert [r.arm for r in second.routes] == ["stable"]
    assert failed.routes == ()
    assert choices.lines() == [
        "request  route       arm     why",
        "id0      rank.score  canary  hash of 'ann': 0.0340, in 0 to 0.1",
        "id0      rank.score  stable  drawn: 0.0340, in 0 to 0.1",
        "id1      rank.score  stable  drawn: 0.0340, in 0 to 0.1",
    ]


def test_as_json():
    choices = Choices(recorder := Recorder())
    recorder.routes.append(chose(1, "canary", "'ann'"))
    found = record(choices.explained(done(0, 1)))
    assert found["routes"] == [
        {"node": "rank.score", "arm": "canary", "key": "'ann'", "place": 0.034, "share": [0.0, 0.1]}
    ]
    assert "routes" not in record(choices.explained(done(1, 1)))


def test_only_so_many_lines():
    choices = Choices(recorder := Recorder())
    recorder.routes += [chose(1, "canary")] * (SHOWN + 5)
    choices.explained(done(0, 1))
    assert len(choices.lines()) == SHOWN + 2
    assert choices.lines()[-1] == "and 5 more"


def test_no_route():
    assert Choices(Recorder()).lines() == ["no request came to a `route`"]
