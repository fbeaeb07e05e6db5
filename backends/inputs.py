"""Values that callers give, made what the pipeline's inputs say: lists and arrays in, checked values out.

`check_input` takes one value, `check_inputs` all of a request (`RequestCheck`: compiled once); all raise
`InvalidInput`, which names the input, what it should be and what to do. Arrays of the right dtype pass
without a copy, as read-only views. Sizes by name are collected on the way, so that `f32[N, 4]` beside
`string[N]` is checked as well; rows stand under `*`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline_dsl.ir import Bound
from pipeline_dsl.plan import InputPlan
from pipeline_dsl.spell import did_you_mean
from pipeline_dsl.types import Rest, TensorType

from .convert import array, describe, ragged, scalar
from .shapes import Dims, Mismatch, RaggedDims, Sizes, check_bounds
from .values import InvalidInput, Ragged, Value, set_writable

_ndarray = np.ndarray

_MAX_DEPTH = 200
"""Levels of nesting in a JSON value."""


class InputCheck:
    """Converts and checks the values of one input. Safe to call from several threads."""

    __slots__ = ("_arrays", "_dims", "_dtype", "_numpy", "_ragged", "_rank", "deferred", "name", "type")

    def __init__(self, name: str, declared: TensorType) -> None:
        self.name = name
        self.type = declared
        self._dtype = declared.dtype
        self._numpy = declared.dtype.numpy
        self._rank = declared.rank
        self._ragged = RaggedDims(declared.dims) if declared.is_ragged else None
        self._dims = Dims(declared.dims) if declared.dims and not declared.is_ragged else None
        self._arrays = self._dims if declared.dtype.numeric else None
        """Of what may come as an array and be taken as it is."""
        self.deferred = declared.is_ragged or (self._dims is not None and self._dims.deferred)
        """Sizes need a second look, when all names are known: `settle`."""

    def __call__(self, value: Any, sizes: Sizes) -> Value:
        """The value as stages get it. InvalidInput if it does not fit; new names are added to `sizes`."""
        try:
            if type(value) is _ndarray and self._arrays is not None and value.dtype is self._numpy:
                value = _read_only(value)
                self._arrays.match(value.shape, sizes)
                return value
            if value is None and self._dtype.name != "json":
                return self._absent()
            value = self._converted(value)
            self._match(value, sizes)
        except Mismatch as error:
            raise self._error(value, error) from None
        return value

    def settle(self, value: Value, sizes: Sizes) -> None:
        """Match sizes again, now that all names are known. InvalidInput if an expression does not come
        out."""
        if self.deferred and value is not None:
            try:
                self._match(value, sizes)
            except Mismatch as error:
                raise self._error(value, error) from None

    def _match(self, value: Value, sizes: Sizes) -> None:
        if self._dims is not None:
            self._dims.match(value.shape, sizes)
        elif self._ragged is not None:
            self._ragged.match(value, sizes)

    def _converted(self, value: Any) -> Value:
        if self._dims is not None:
            return _read_only(self._array(value))
        if self._ragged is not None:
            return self._rows(value)
        found = scalar(value, self._dtype)
        if self._dtype.name == "json":
            check_json(found)
        return found

    def _array(self, value: Any) -> Any:
        _refuse_single(value, self.type)
        found = array(value, self._dtype, self._rank)
        if self._dtype.name == "json":
            for item in found.ravel().tolist():
                check_json(item)
        return found

    def _rows(self, value: Any) -> Ragged:
        has_rest = any(isinstance(d, Rest) for d in self.type.dims)
        found = ragged(value, self._dtype, None if has_rest else len(self.type.dims) - 1)
        if found.dtype != self._numpy and len(found):
            raise Mismatch(f"rows of {self._dtype.name} are expected, found {found.dtype}")
        return found

    def _absent(self) -> None:
        if not self.type.optional:
            raise Mismatch(f"{self.type} is expected, found None")

    def _error(self, value: Any, error: Mismatch) -> InvalidInput:
        message = str(error)
        if str(self.type) not in message:
            message = f"{self.type} is expected, found {describe(value)}: {message}"
        return InvalidInput(f"input `{self.name}`: {message}")


@lru_cache(maxsize=1024)
def _compiled(name: str, declared: TensorType) -> InputCheck:
    return InputCheck(name, declared)


def check_input(name: str, declared: TensorType, value: Any, sizes: Sizes) -> Value:
    """One caller's value as stages get it. InvalidInput names the input, what it should be and what was
    found."""
    return _compiled(name, declared)(value, sizes)


class RequestCheck:
    """All inputs of one pipeline, compiled. Safe to call from several threads."""

    __slots__ = ("_bounds", "_checks", "_deferred", "_inputs", "_names")

    def __init__(self, inputs: Sequence[InputPlan], bounds: Iterable[Bound] = ()) -> None:
        self._inputs = tuple(inputs)
        self._bounds = tuple(bounds)
        self._names = frozenset(port.name for port in inputs)
        self._checks = [(port.name, InputCheck(port.name, port.type), port) for port in inputs]
        self._deferred = any(check.deferred for _, check, _ in self._checks)

    def __call__(self, given: Mapping[str, Any]) -> tuple[tuple[Value, ...], Sizes]:
        """As `check_inputs`."""
        if given.keys() != self._names:
            _check_names(self._inputs, given)
        sizes: Sizes = {}
        found: list[Value] = []
        for name, check, port in self._checks:
            found.append(check(given[name], sizes) if name in given else _default(port))
        values = tuple(found)
        if self._deferred or self._bounds:
            self._settle(given, values, sizes)
        return values, sizes

    def _settle(self, given: Mapping[str, Any], values: tuple[Value, ...], sizes: Sizes) -> None:
        for (name, check, _), value in zip(self._checks, values):
            if name in given:
                check.settle(value, sizes)
        try:
            check_bounds(self._bounds, sizes)
        except Mismatch as error:
            raise InvalidInput(str(error)) from None


def check_inputs(
    inputs: Sequence[InputPlan], bounds: Iterable[Bound], given: Mapping[str, Any]
) -> tuple[tuple[Value, ...], Sizes]:
    """All inputs of a request in port order, defaults filled in, and its sizes by name. `RequestCheck` does
    the same compiled once.

    InvalidInput for a missing or unknown name, a wrong value, sizes that disagree, or a bound that does not
    hold."""
    return RequestCheck(inputs, bounds)(given)


def _default(port: InputPlan) -> Value:
    return port.default if port.has_default else None


def _check_names(inputs: Sequence[InputPlan], given: Mapping[str, Any]) -> None:
    known = [port.name for port in inputs]
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"inputs: {', '.join(known)}"
            raise InvalidInput(f"there is no input `{name}`; {hint}")
    missing = [p for p in inputs if p.name not in given and not p.has_default and not p.type.optional]
    if missing:
        listed = ", ".join(f"`{p.name}`: {p.type}" for p in missing)
        raise InvalidInput(f"missing input {listed}")


def check_json(value: Any, depth: int = 0) -> None:
    """Mismatch if a value is not JSON data: None, bool, int, float, str, lists, dicts with str keys."""
    if value is None or isinstance(value, bool | int | float | str):
        return
    if depth > _MAX_DEPTH:
        raise Mismatch(f"JSON data nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list | tuple):
        for item in value:
            check_json(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise Mismatch(f"JSON data is expected, found a key of type {type(key).__name__}")
            check_json(item, depth + 1)
    else:
        hint = "; .tolist() makes it JSON" if isinstance(value, np.ndarray | np.generic) else ""
        raise Mismatch(f"JSON data is expected, found {describe(value)}{hint}")


def _refuse_single(value: Any, declared: TensorType) -> None:
    """A single value where a list is due is the commonest slip: say so in its own words."""
    if isinstance(value, str | bytes | bool | int | float | np.generic):
        raise Mismatch(f"{declared} is expected, found a single {describe(value)}; give a list, even of one")


def _read_only(value: Any) -> Any:
    """A view that can not be written through; of a copy, if its items do not lie one behind the other."""
    flags = value.flags
    if not flags.c_contiguous:
        value = np.ascontiguousarray(value)
        flags = value.flags
    if flags.writeable:
        value = value.view()
        set_writable(value, False)
    return value
