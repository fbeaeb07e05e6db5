"""A backend that another package brings: registered, named in a `.pipe`, loaded and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import backends
import pipectl
from backends.base import Batch, BatchResult, InstanceConfig
from pipeline_dsl.plan import StagePlan

TEXT = """pipe 1
stage scale(x: f32[*, 2]) -> (y: f32[*, 2]) using {call}
pipeline p(x: f32[B, 2]) -> (y: f32[B, 2]) {{ return y = scale(x) }}
"""


class Scaling:
    """Backend and instance in one: multiplies by its argument `by`."""

    name = "scaling"
    thread_affine = False
    wants_context = False

    def load(self, stage: StagePlan, config: InstanceConfig) -> Scaling:
        self.by = stage.arguments["by"]
        return self

    def execute(self, batch: Batch) -> BatchResult:
        return BatchResult((batch.inputs[0] * np.float32(self.by),))

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_registered_backend_runs(tmp_path: Path) -> None:
    backends.register("scaling", Scaling)
    path = tmp_path / "p.pipe"
    path.write_text(TEXT.format(call="scaling(by = 3)"))
    with pipectl.load(path) as app:
        np.testing.assert_array_equal(app["p"](x=np.ones((2, 2), np.float32))["y"], np.full((2, 2), 3, np.float32))


def test_one_that_is_not_installed_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "p.pipe"
    path.write_text(TEXT.format(call="no_such(by = 3)"))
    with pytest.raises(pipectl.CompileError, match="there is no backend `no_such`"):
        pipectl.load(path)


def test_one_of_a_later_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "p.pipe"
    path.write_text(TEXT.format(call='triton("x")'))
    with pytest.raises(pipectl.LoadError, match="backend `triton` is not part of this version"):
        pipectl.load(path)
