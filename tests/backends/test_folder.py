"""A python stage that is a class may ask for the folder of its `.pipe`, where its own files lie."""

import numpy as np

import pipectl

STAGES = """from pathlib import Path


class Labels:
    def __init__(self, *, file, folder):
        self.names = Path(folder, file).read_text(encoding="utf-8").split()

    def __call__(self, *, label):
        return [self.names[i] for i in label]


class Named:
    def __init__(self, *, folder):
        self.folder = folder

    def __call__(self, *, label):
        return [self.folder] * len(label)
"""
PROGRAM = """pipe 1

stage names(label: i64[*]) -> (name: string[*])
  using python("folder_stages:Labels", file = "labels.txt")

stage named(label: i64[*]) -> (name: string[*])
  using python("folder_stages:Named", folder = "as given")

pipeline p(label: i64[*]) -> (a: string[*], b: string[*]) {
  return a = names(label), b = named(label)
}
"""


def test_the_folder_is_that_of_the_file_unless_it_is_a_key(tmp_path):
    (tmp_path / "p.pipe").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "folder_stages.py").write_text(STAGES, encoding="utf-8")
    (tmp_path / "labels.txt").write_text("cat dog", encoding="utf-8")
    with pipectl.load(tmp_path / "p.pipe") as app:
        answer = app["p"](label=np.array([1, 0]))
    assert answer["a"].tolist() == ["dog", "cat"]
    assert answer["b"].tolist() == ["as given"] * 2
