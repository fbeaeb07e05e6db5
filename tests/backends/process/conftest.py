"""Isolated instances for the tests, each of which leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.base import InstanceConfig
from backends.process import RestartPolicy, load_isolated
from pipeline_dsl.ir import Contract
from pipeline_dsl.plan import StagePlan
from tests.backends.leftovers import nothing_left

__all__ = ["isolated", "nothing_left"]


def plan(**arguments):
    return StagePlan(0, "echo", None, "test", arguments, Contract(), "", (), (), (), True)


@pytest.fixture
def isolated(nothing_left, monkeypatch):
    """`isolated("double", ...)` starts a stage of `process_stages`; all are closed at the end."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    started = []

    def start(act="copy", *, config=None, **settings):
        arguments = {key: settings.pop(key) for key in ("load", "marker", "closed") if key in settings}
        settings.setdefault("policy", RestartPolicy(first=0.01))
        settings.setdefault("output", lambda line: None)
        settings.setdefault("loader", "process_stages:backend")
        instance = load_isolated(plan(act=act, **arguments), config or InstanceConfig(), **settings)
        started.append(instance)
        return instance

    yield start
    for instance in started:
        instance.close()
