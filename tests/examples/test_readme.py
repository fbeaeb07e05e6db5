"""What README.md shows is what the repository holds."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_smallest_pipeline_is_the_file():
    shown = re.search(r"```pipe\n(.*?)```", README, re.DOTALL)
    assert shown
    assert shown[1] == (ROOT / "examples" / "hello" / "hello.pipe").read_text(encoding="utf-8")


def test_its_stages_are_the_file():
    shown = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown
    assert shown[1] == (ROOT / "examples" / "hello" / "hello_stages.py").read_text(encoding="utf-8")


def test_every_folder_it_lists_exists_in_the_order_data_passes():
    folders = re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE)
    assert folders[:6] == ["grammar", "pipeline_dsl", "backends", "executor", "serving", "pipectl"]
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_every_make_verb_it_names_is_one():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = set(re.findall(r"\bmake (\w+)", README))
    assert {"run", "test"} <= verbs
    assert all(re.search(rf"^{verb}:", makefile, re.MULTILINE) for verb in verbs)
