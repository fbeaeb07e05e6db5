"""The fallback: a service in each of its states, and what the caller sees of it."""

import re

import pytest

import pipectl
from tests.examples.counters import counted

PLACES = {"start": [53.55, 9.99], "goal": [48.14, 11.58]}
BY_AIR = 611.8  # km; Hamburg to Munich


@pytest.fixture(scope="module")
def app(fallback):
    with pipectl.load(fallback / "fallback.pipe", profile="cpu") as app:
        yield app


def test_the_service_answers(app):
    answer = app["distance"](PLACES)
    assert (answer["by"], answer["why"]) == ("road", "")
    assert answer["km"] == pytest.approx(1.25 * BY_AIR, abs=0.1)


def test_a_hiccup_is_retried(app):
    before = counted(app.metrics(), "pipe_try_total", "distance.km", event="retry")
    assert app["distance"](PLACES, state="hiccup", id="hiccup once")["by"] == "road"
    assert counted(app.metrics(), "pipe_try_total", "distance.km", event="retry") == before + 1


def test_who_is_down_is_replaced_and_named(app):
    answer = app["distance"](PLACES, state="down")
    assert answer["by"] == "air"
    assert answer["km"] == pytest.approx(BY_AIR, abs=0.1)
    assert answer["why"] == "INTERNAL: stage `by_road` raised ConnectionError: the service is down"


def test_who_is_slow_is_replaced_when_patience_ends(app):
    answer = app["distance"](PLACES, state="slow")
    assert answer["by"] == "air"
    assert answer["why"].startswith("DEADLINE_EXCEEDED")
    assert answer.seconds >= 0.15


def test_others_are_not_held_up(app):
    slow = app["distance"].submit(PLACES, state="slow")
    assert app["distance"](PLACES)["by"] == "road"
    assert slow.result()["by"] == "air"


def test_script(fallback, python):
    printed = python(fallback / "ask.py")
    assert re.findall(r"^(\w+) +\d+\.\d km by (\w+)", printed, re.MULTILINE) == [
        ("well", "road"),
        ("hiccup", "road"),
        ("slow", "air"),
        ("down", "air"),
    ]


def test_command(fallback, python):
    places = ("--input", "start=[53.55, 9.99]", "--input", "goal=[48.14, 11.58]", "--input", "state=down")
    printed = python("-m", "pipectl", "run", fallback / "fallback.pipe", *places)
    assert re.search(r"^0 +611.79 +air +INTERNAL: stage `by_road` raised", printed, re.MULTILINE)
