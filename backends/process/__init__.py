"""A stage in a process of its own: its tensors cross in shared memory, its death is one error and a restart."""

from backends.base import StageHung
from backends.ipc.restarts import RestartPolicy

from .faults import StageError
from .instance import Limits, ProcessInstance, load_isolated

__all__ = ["Limits", "ProcessInstance", "RestartPolicy", "StageError", "StageHung", "load_isolated"]
