"""One execution context: shapes in, addresses in, launch; every answer of the library is checked.

A context is used by one thread at a time. After a change of profile its shapes and addresses hold no longer and are
set again. Its scratch memory serves one run after the other: a run on another stream waits for the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.values import InvalidInput
from pipeline_dsl.plan import StagePlan

from . import memory
from .engine import Engine
from .errors import EngineError
from .profiles import narrowest, shown

Shape = tuple[int, ...]


class Context:
    """Runs an engine for one instance."""

    def __init__(self, engine: Engine, stage: StagePlan) -> None:
        self._raw = engine.context(stage)
        self._engine = engine
        self._log = engine.library.log
        self._stage = stage.name
        self._shapes: dict[str, Shape] = {}
        """What the context knows; empty where nothing is known to hold."""
        self._profile: int | None = self._raw.active_optimization_profile
        self._stream: Any = None
        self._settled = False
        """The last run launched with the shapes and the profile that are set."""

    def shape(self, shapes: Mapping[str, Shape], stream: Any) -> None:
        """Enter the narrowest profile for these input shapes, and set them. InvalidInput if no profile holds them."""
        self._log.forget()
        if stream is not self._stream:
            if self._stream is not None:
                memory.follow(stream, self._stream)
            self._stream = stream
        if self._engine.profiles:
            self._enter(self._choose(shapes), stream)
        for name, shape in shapes.items():
            if self._shapes.get(name) == shape:
                continue
            self._settled = False
            self._shapes.pop(name, None)
            if not self._raw.set_input_shape(name, shape):
                raise self._error(name, f"the engine does not take shape {list(shape)}, it wants {self._wanted(name)}")
            self._shapes[name] = shape

    def bind(self, name: str, address: int) -> None:
        """The memory of an input or output for the next run."""
        if not self._raw.set_tensor_address(name, address):
            raise self._error(name, f"the engine does not take the address {address:#x}")

    def allocate(self, name: str, allocator: Any) -> None:
        """What makes the memory of an output in the next run. The caller keeps it alive until the run has ended."""
        self.bind(name, 0)  # memory of the run before is somebody else's now
        if not self._raw.set_output_allocator(name, allocator):
            raise self._error(name, "the engine does not take an allocator for it")

    def infer(self) -> None:
        """Work out the shapes of outputs, once all input shapes are set and all inputs on the host are bound."""
        try:
            missing = self._raw.infer_shapes()
        except RuntimeError as error:
            raise self._error("", f"shapes can not be inferred from {self._given()}: {error}") from error
        if missing:
            raise self._error(missing[0], f"not all is set for {', '.join(missing)}; shapes are {self._given()}")

    def shape_of(self, name: str) -> Shape:
        """Shape of a tensor after `infer`; -1 for sizes that depend on data."""
        found = tuple(self._raw.get_tensor_shape(name))
        if any(n < -1 for n in found):
            raise self._error(name, f"its shape is not known: {list(found)}")
        return found

    def launch(self, stream: Any) -> None:
        """Enqueue the run."""
        self._settled = False
        if not self._raw.execute_async_v3(memory.number(stream)):
            error = self._error("", f"the run was not started, with shapes {self._given()}")
            self._shapes.clear()
            raise error
        self._settled = True

    @property
    def settled(self) -> bool:
        """Whether the shapes and the profile that are set have run: a launch that is captured must not be their
        first."""
        return self._settled

    def capturable(self) -> bool:
        """What the library says of capturing, where it can be asked."""
        ask = getattr(self._raw, "is_stream_capturable", None)
        return ask is None or bool(ask(memory.number(self._stream)))

    def close(self) -> None:
        """Wait for what was launched, and free the context."""
        if self._stream is not None:
            self._stream.synchronize()
        del self._raw, self._engine

    def _choose(self, shapes: Mapping[str, Shape]) -> int:
        profiles = self._engine.profiles
        found = narrowest(profiles, shapes)
        if found is not None:
            return found
        given = ", ".join(f"`{name}` {list(shape)}" for name, shape in shapes.items())
        built = " or ".join(", ".join(f"`{name}` {shown(p, name)}" for name in shapes) for p in profiles)
        raise InvalidInput(f"stage `{self._stage}`: {given} is outside of what the engine was built for: {built}")

    def _enter(self, index: int, stream: Any) -> None:
        if index == self._profile:
            return
        self._shapes.clear()
        self._settled, self._profile = False, None
        if not self._raw.set_optimization_profile_async(index, memory.number(stream)):
            raise self._error("", f"the engine does not enter its profile {index}")
        self._profile = index

    def _wanted(self, name: str) -> str:
        profile = self._profile
        return (
            shown(self._engine.profiles[profile], name) if profile is not None and self._engine.profiles else "another"
        )

    def _given(self) -> str:
        return ", ".join(f"`{name}` {list(shape)}" for name, shape in self._shapes.items()) or "none"

    def _error(self, tensor: str, message: str) -> EngineError:
        return EngineError(self._stage, tensor, message, self._log.reasons())
