"""Tests of the engine on a real GPU: `pytest -m gpu`. Without one they are skipped and say why."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from backends.base import BackendError
from backends.device import device


@cache
def reason() -> str:
    """Why they are skipped; empty if they are not."""
    try:
        import torch

        if not torch.cuda.is_available():
            return f"torch {torch.__version__} can not use a GPU"
        device("cuda:0")
    except (BackendError, ImportError) as error:
        return f"no GPU: {error}"
    return ""


@pytest.fixture
def torch() -> Any:
    """torch, where it can use a GPU, loaded before the device is opened."""
    if why := reason():
        pytest.skip(why)
    import torch

    return torch
