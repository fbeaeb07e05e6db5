"""A python stage in a process of its own passes the suite that every backend passes."""

import pytest

from backends.conformance import Conformance
from backends.process import load_isolated
from tests.backends.stages import stage

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"


@pytest.fixture(autouse=True)
def _folder(request, tmp_path):
    request.instance.folder = tmp_path


class Isolated:
    """The backend of a stage, in another process."""

    name = "isolated"

    def load(self, stage, config):
        return load_isolated(stage, config, output=lambda line: None)


class TestIsolatedPython(Conformance):
    sees_shapes = False

    def backend(self):
        return Isolated()

    def stage(self):
        (self.folder / "doubling.py").write_text("def double(*, x):\n    return x * 2\n")
        return stage("python", X, Y, folder=self.folder, artifact="doubling:double")

    def broken(self):
        self.stage()
        return [stage("python", X, Y, folder=self.folder, artifact=at) for at in ("missing:double", "doubling:tripple")]
