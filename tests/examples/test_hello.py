"""The smallest pipeline answers, and its twin from the builder is the same program."""

import importlib.util
import json
from types import ModuleType

import pipectl


def builder(hello) -> ModuleType:
    spec = importlib.util.spec_from_file_location("hello_builder", hello / "hello_builder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_answers_every_request_in_order(hello):
    with pipectl.load(hello / "hello.pipe") as app:
        answers = list(app["hello"].map({"name": name} for name in ("Ada", "Grace", "")))
    assert [(a["greeting"], a["length"]) for a in answers] == [
        ("Hello, Ada!", 11),
        ("Hello, Grace!", 13),
        ("Hello, !", 8),
    ]


def test_runs_from_the_command_line(hello, python):
    names = ("--input", "name=Ada", "--input", "name=Grace")
    printed = python("-m", "pipectl", "run", hello / "hello.pipe", *names, "--format", "json")
    answers = [json.loads(line)["outputs"] for line in printed.splitlines()]
    assert answers == [{"greeting": "Hello, Ada!", "length": 11}, {"greeting": "Hello, Grace!", "length": 13}]


def test_builder_makes_the_program_of_the_file(hello):
    assert builder(hello).module == pipectl.parse((hello / "hello.pipe").read_text(encoding="utf-8"))


def test_builder_example_runs(hello, python):
    assert python(hello / "hello_builder.py").splitlines()[-1] == "Hello, Ada! 11"


def test_the_golden_cases_pass(hello, python):
    assert python("-m", "pipectl", "test", hello / "hello.pipe").endswith("3 passed\n")
