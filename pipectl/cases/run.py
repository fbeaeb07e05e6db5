"""Cases through a running app: one after the other, each with its mistakes in words.

Suite --run--> Verdict(case, mistakes)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backends.values import Ragged
from executor.errors import RequestError
from pipectl.compare import Tolerance, difference
from pipectl.decode import DecodeError, from_file, from_json
from pipectl.errors import OptionError
from pipeline_dsl.plan import InputPlan, OutputPlan, PipelinePlan
from pipeline_dsl.spell import did_you_mean

from .file import Case, Expected, Failure, Suite, expected

if TYPE_CHECKING:
    from executor.tap import Tap
    from pipectl.app import App


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended; it passed if there are no mistakes."""

    name: str
    pipeline: str
    mistakes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case with its names checked and its inputs read."""

    case: Case
    name: str
    pipeline: PipelinePlan
    inputs: dict[str, Any]


def prepare(suite: Suite, file: Path, pipelines: dict[str, PipelinePlan]) -> list[Prepared]:
    """All cases, or OptionError for the first that names what does not exist; nothing has run then."""
    found = []
    for number, case in enumerate(suite.case, start=1):
        place = f"{file}: case {number}" + (f" `{case.name}`" if case.name else "")
        pipeline = _pipeline(case, pipelines, place)
        _check_names(case, pipeline, place)
        inputs = {name: _input(port, case.inputs[name], file, place) for name, port in _ports(case, pipeline)}
        found.append(Prepared(case, case.name or f"case {number}", pipeline, inputs))
    return found


def run(app: App, tap: Tap, cases: Sequence[Prepared], folder: Path) -> Iterator[Verdict]:
    """Each case in order; what one does can not change another but through its stages."""
    for number, prepared in enumerate(cases):
        start = time.perf_counter()
        mistakes = tuple(_mistakes(app, tap, prepared, f"case-{number}", folder))
        yield Verdict(prepared.name, prepared.pipeline.name, mistakes, time.perf_counter() - start)


# ---- before


def _pipeline(case: Case, pipelines: dict[str, PipelinePlan], place: str) -> PipelinePlan:
    if not pipelines:
        raise OptionError(f"{place}: the file has no public pipeline")
    if case.pipeline is None and len(pipelines) > 1:
        raise OptionError(f"{place}: it names no pipeline", f'write pipeline = "{next(iter(pipelines))}"')
    wanted = case.pipeline or next(iter(pipelines))
    _known({wanted: None}, list(pipelines), f"{place}: there is no pipeline")
    return pipelines[wanted]


def _check_names(case: Case, pipeline: PipelinePlan, place: str) -> None:
    _known(case.inputs, [p.name for p in pipeline.inputs], f"{place}: pipeline `{pipeline.name}` has no input")
    _known(case.expect, [p.name for p in pipeline.outputs], f"{place}: pipeline `{pipeline.name}` has no output")
    prefix = len(pipeline.name) + 1
    nodes = [s.node[prefix:] for s in pipeline.every_step if s.stage >= 0]
    _known(case.nodes, nodes, f"{place}: pipeline `{pipeline.name}` has no call")
    for name, value in case.expect.items():
        expected(value, f"{place}: output `{name}`")
    for node, ports in case.nodes.items():
        for port, value in ports.items():
            expected(value, f"{place}: node `{node}`: `{port}`")
    if case.error is not None and case.expect:
        raise OptionError(f"{place}: it expects both outputs and an error")
    if case.error is None and not case.expect and not case.nodes:
        raise OptionError(f"{place}: it expects nothing", "add expect, nodes or error")


def _known(given: dict[str, Any], names: Sequence[str], what: str) -> None:
    for name in given:
        if name not in names:
            raise OptionError(f"{what} `{name}`", did_you_mean(name, names) or f"there are {', '.join(names)}")


def _ports(case: Case, pipeline: PipelinePlan) -> list[tuple[str, InputPlan]]:
    return [(port.name, port) for port in pipeline.inputs if port.name in case.inputs]


def _input(port: InputPlan, value: Any, file: Path, place: str) -> Any:
    try:
        if isinstance(value, str) and value.startswith("@@"):
            return from_json(port, value[1:])
        if isinstance(value, str) and value.startswith("@"):
            return from_file(port, file.parent / value[1:])
        return from_json(port, value)
    except DecodeError as error:
        raise OptionError(f"{place}: input `{port.name}`: {error}", error.hint) from None
    except OSError as error:
        raise OptionError(f"{place}: input `{port.name}`: can not read {error.filename}: {error.strerror}") from None


# ---- after


def _mistakes(app: App, tap: Tap, prepared: Prepared, id: str, folder: Path) -> Iterator[str]:
    case = prepared.case
    handle = app[prepared.pipeline.name]
    wanted = list(case.expect) if case.expect and not case.nodes and case.error is None else None
    try:
        outputs = handle.whole(prepared.inputs, id=id, outputs=wanted, timeout=case.timeout)
    except RequestError as error:
        yield from _failed(case.error, error)
    else:
        if case.error is not None:
            yield f"expected an error{f' {case.error.code}' if case.error.code else ''}, found an answer"
        ports = {port.name: port for port in prepared.pipeline.outputs}
        for name, value in case.expect.items():
            yield from _value(f"output `{name}`", outputs[name], value, case, folder, ports[name])
    yield from _nodes(tap, prepared, id, folder)


def _failed(wanted: Failure | None, error: RequestError) -> Iterator[str]:
    if wanted is None:
        yield f"failed: {error.grpc_code}: {error}"
        return
    if wanted.code and wanted.code != error.grpc_code:
        yield f"error code: expected {wanted.code}, found {error.grpc_code}: {error.message}"
    if wanted.message not in error.message:
        yield f"error message: expected {wanted.message!r} in it, found {error.message!r}"
    if wanted.node and wanted.node != error.node.partition(".")[2]:
        yield f"error node: expected `{wanted.node}`, found `{error.node}`"


def _nodes(tap: Tap, prepared: Prepared, id: str, folder: Path) -> Iterator[str]:
    if not prepared.case.nodes:
        return
    visits = tap.visits(id)
    for node, ports in prepared.case.nodes.items():
        ran = [v for v in visits if v.node == f"{prepared.pipeline.name}.{node}"]
        if not ran:
            yield f"node `{node}` did not run"
        for port, value in ports.items():
            outputs = [v.outputs.get(port) for v in ran]
            if ran and any(port not in v.outputs for v in ran):
                yield f"node `{node}` has no output `{port}`" + ("; it failed" if ran[0].error else "")
            elif ran:
                found = outputs[0] if len(outputs) == 1 else outputs
                yield from _value(f"node `{node}`: `{port}`", found, value, prepared.case, folder)


def _value(
    place: str, found: Any, wanted: Any, case: Case, folder: Path, port: OutputPlan | None = None
) -> Iterator[str]:
    said = expected(wanted, place)
    if said.absent:
        if found is not None:
            yield f"{place}: expected to be absent"
        return
    shape = None if found is None or isinstance(found, Ragged) else list(np.shape(found))
    if said.shape is not None and said.shape != shape:
        yield f"{place}: expected shape {said.shape}, found {shape}"
    dtype = str(getattr(found, "dtype", type(found).__name__))
    if said.dtype is not None and said.dtype != dtype:
        yield f"{place}: expected dtype {said.dtype}, found {dtype}"
    if said.value is not msgspec.UNSET:
        text = difference(found, _expected_value(said.value, folder, place, port), _tolerance(said, case))
        if text:
            yield f"{place}: {text}"


def _tolerance(said: Expected, case: Case) -> Tolerance:
    rtol = case.rtol if said.rtol is None else said.rtol
    return Tolerance(rtol, case.atol if said.atol is None else said.atol)


def _expected_value(value: Any, folder: Path, place: str, port: OutputPlan | None) -> Any:
    if isinstance(value, str) and value.startswith("@@"):
        value = value[1:]
    elif isinstance(value, str) and value.startswith("@"):
        return _expected_file(folder / value[1:], place)
    if port is not None and port.type.dtype.name == "bytes" and value is not None:
        return from_json(port, value)
    return value


def _expected_file(path: Path, place: str) -> Any:
    """An expected value that is kept in a file: .npy, .json, or text."""
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".json":
            import json

            return json.loads(path.read_text(encoding="utf-8"))
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, ValueError) as error:
        raise OptionError(f"{place}: can not read {path}: {error}") from None
