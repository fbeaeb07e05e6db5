"""Parameters of a request that mean something to the server; all others are the pipeline's."""

from __future__ import annotations

from dataclasses import dataclass

from executor.errors import InvalidArgument
from executor.sequence import SequenceInfo
from serving.tensors import InferCall, Parameter, Parameters

EMPTY_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"
TIMINGS = "pipectl_timings"
RESERVED = ("headers", "binary_data_output")
"""Names that no parameter of a pipeline may have, beside all that begin with `triton_`."""
MAX_ID = 128
"""Characters of a request's or a sequence's id."""
_MAX_U64 = 2**64 - 1
_OURS = frozenset(
    ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", EMPTY_FINAL, TIMINGS, "binary_data_output")
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a request says about itself, beside its tensors."""

    timeout: float | None = None
    """Seconds: the shorter of the parameter and what the transport still waits."""
    priority: int | None = None
    sequence: SequenceInfo | None = None
    empty_final: bool = False
    """A stream ends with an empty response."""
    timings: bool = False
    """The response says how long each step took."""
    parameters: Parameters | None = None
    """Those of the pipeline."""


_PLAIN = Options()


def options(call: InferCall) -> Options:
    """InvalidArgument for a parameter of the wrong kind, or with a reserved name."""
    check_id(call.id)
    given = call.parameters
    if not given:
        return _PLAIN if call.timeout is None else Options(timeout=max(call.timeout, 0.0))
    for name in given:
        if name not in _OURS and (name in RESERVED or name.startswith("triton_")):
            raise InvalidArgument(f"parameter `{name}`: the name is reserved")
    return Options(
        _timeout(given, call.timeout),
        _whole(given, "priority") or None,
        _sequence(given),
        _flag(given, EMPTY_FINAL),
        _flag(given, TIMINGS),
        {name: value for name, value in given.items() if name not in _OURS} or None,
    )


def check_id(id: str) -> None:
    """InvalidArgument for an id that is too long, or that would forge lines of a log."""
    if id and (len(id) > MAX_ID or not id.isprintable()):
        raise InvalidArgument(f"the request's id is longer than {MAX_ID} characters, or not printable")


def _timeout(given: Parameters, transport: float | None) -> float | None:
    limits = [transport] if transport is not None else []
    micros = _whole(given, "timeout")
    if micros:
        limits.append(micros / 1e6)
    return max(min(limits), 0.0) if limits else None


def _sequence(given: Parameters) -> SequenceInfo | None:
    start, end = _flag(given, "sequence_start"), _flag(given, "sequence_end")
    id = given.get("sequence_id", 0)
    if isinstance(id, str):
        if len(id) > MAX_ID or not id.isprintable():
            raise InvalidArgument(f"parameter `sequence_id` is longer than {MAX_ID} characters, or not printable")
    else:
        id = _whole(given, "sequence_id")
    if id in (0, ""):
        if start or end:
            raise InvalidArgument("parameter `sequence_id` is missing beside `sequence_start` or `sequence_end`")
        return None
    return SequenceInfo(id, start, end)


def _whole(given: Parameters, name: str) -> int:
    """A whole number from 0; 0 where it is not given."""
    value: Parameter = given.get(name, 0)
    if type(value) is not int or not 0 <= value <= _MAX_U64:
        raise InvalidArgument(f"parameter `{name}` takes a whole number from 0, found {value!r}")
    return value


def _flag(given: Parameters, name: str) -> bool:
    value = given.get(name, False)
    if type(value) is not bool:
        raise InvalidArgument(f"parameter `{name}` takes true or false, found {value!r}")
    return value
