"""ONNX Runtime as a build with CUDA shows itself, over the CPU provider of the one that is installed.

Everything real but the place: a session that is asked for CUDA is one of the CPU, and bindings to `cuda` are bindings
to memory of the host, which is what the fake device of `fake_cuda` has. It notes what it was asked for, and can be told
to go wrong as libraries do."""

from __future__ import annotations

import types

import onnxruntime as real

CUDA = "CUDAExecutionProvider"
_FLAG = "disable_synchronize_execution_providers"


class FakeRuntime(types.SimpleNamespace):
    """A module in place of `onnxruntime`."""

    def __init__(self, *, starts=True, on_cpu=False, late=False, keeps_binding=False):
        """starts: the provider can be started. on_cpu: some operation has no kernel for the GPU. late: runs that do not
        wait leave results unwritten. keeps_binding: each run uses the binding of the first one, outputs and all."""
        super().__init__(
            __version__="9.9.9",
            RunOptions=RunOptions,
            SessionOptions=SessionOptions,
            get_available_providers=lambda: [CUDA, "CPUExecutionProvider"],
        )
        self.starts, self.on_cpu, self.late, self.keeps_binding = starts, on_cpu, late, keeps_binding
        self.sessions = []
        self.InferenceSession = lambda path, options, providers, **more: Session(self, path, options, providers)


class SessionOptions(real.SessionOptions):
    def __init__(self):
        super().__init__()
        self.entries = {}

    def add_session_config_entry(self, key, value):
        self.entries[key] = value
        if key != "session.disable_cpu_ep_fallback":  # the session is one of the CPU
            super().add_session_config_entry(key, value)


class RunOptions(real.RunOptions):
    def __init__(self):
        super().__init__()
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value


class Session:
    def __init__(self, runtime, path, options, providers):
        self.runtime = runtime
        if runtime.on_cpu and options.entries.get("session.disable_cpu_ep_fallback") == "1":
            raise RuntimeError("nodes are assigned to the default CPU EP, but fallback to CPU EP has been disabled")
        self.provider_options = dict(providers[0][1])
        self.inner = real.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.get_inputs, self.get_outputs = self.inner.get_inputs, self.inner.get_outputs
        self.bindings = []
        self.runs = []
        """For each run whether it waited."""
        runtime.sessions.append(self)

    def get_providers(self):
        return [CUDA, "CPUExecutionProvider"] if self.runtime.starts else ["CPUExecutionProvider"]

    def io_binding(self):
        if self.runtime.keeps_binding and self.bindings:
            self.bindings[0].kept = True
            return self.bindings[0]
        self.bindings.append(Binding(self.inner.io_binding()))
        return self.bindings[-1]

    def run_with_iobinding(self, binding, options=None):
        waits = options is None or options.entries.get(_FLAG) != "1"
        self.runs.append(waits)
        if self.runtime.late and not waits:
            return
        self.inner.run_with_iobinding(binding.inner, options)


class Binding:
    def __init__(self, inner):
        self.inner = inner
        self.kept = False
        self.inputs, self.outputs = {}, {}

    def bind_input(self, name, place, index, kind, shape, pointer):
        self.inputs[name] = (place, index, kind, tuple(shape), pointer)
        self.inner.bind_input(name, "cpu", 0, kind, shape, pointer)

    def bind_output(self, name, place="cpu", index=0, kind=None, shape=None, pointer=None):
        self.outputs[name] = (place, index, kind, shape and tuple(shape), pointer)
        if not self.kept:
            self.inner.bind_output(name, "cpu", 0, kind, shape, pointer)

    def get_outputs(self):
        return self.inner.get_outputs()
