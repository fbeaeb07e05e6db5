"""Answers of a stage that are kept: bounded in bytes, the least recently used go first, each for a time.

    rows of a batch --keys--> Cache.get -> hits | the first of each miss --execute--> Cache.put

A key is a digest of the content of the keyed inputs and of what the stage is (artifact, arguments, contract), so equal
rows of any request find the same answer. What is kept is a copy in memory of its own: keeping one row does not keep
the batch it came from. Thread-safe; a stage's instances share one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.artifact import artifact_path
from backends.base import BackendError
from backends.values import Ragged, Value
from pipeline_dsl.plan import CachePolicy, PortPlan, StagePlan

from .assemble import Gathered
from .columns import size_of
from .padding import ragged_axis

Row = tuple[Value, ...]
"""One row of each output; of a stage without `*`, its outputs."""

ENTRY_BYTES = 256
"""What an entry costs beside its values, about."""


class Cache:
    """The kept answers of one stage."""

    def __init__(self, policy: CachePolicy, now: Callable[[], int]) -> None:
        self.policy = policy
        self.hits = 0
        """Rows that were found."""
        self.misses = 0
        self.evictions = 0
        """Rows that went because of the limit; those that were too old are not among them."""
        self.bytes = 0
        self._now = now
        self._rows: OrderedDict[bytes, tuple[Row, int, int]] = OrderedDict()
        """Values, bytes and when they are too old, by key; the least recently used first."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, keys: Sequence[bytes]) -> list[Row | None]:
        """What is kept under each key. Equal keys that miss count once as a miss and else as hits to come."""
        with self._lock:
            now = self._now()
            found = [self._get(key, now) for key in keys]
        missing = len({key for key, row in zip(keys, found, strict=True) if row is None})
        self.misses += missing
        self.hits += len(keys) - missing
        return found

    def _get(self, key: bytes, now: int) -> Row | None:
        held = self._rows.get(key)
        if held is None:
            return None
        row, size, until = held
        if until <= now:
            del self._rows[key]
            self.bytes -= size
            return None
        self._rows.move_to_end(key)
        return row

    def put(self, key: bytes, row: Row) -> None:
        """Keep a row; what has waited longest for a reader goes in its place. One above the limit is not kept."""
        size = ENTRY_BYTES + sum(map(_bytes, row))
        if size > self.policy.max_bytes:
            return
        until = self._now() + self.policy.ttl_ns if self.policy.ttl_ns else 1 << 62
        with self._lock:
            before = self._rows.pop(key, None)
            self.bytes += size - (before[1] if before else 0)
            self._rows[key] = (row, size, until)
            while self.bytes > self.policy.max_bytes:
                _, (_, gone, _) = self._rows.popitem(last=False)
                self.bytes -= gone
                self.evictions += 1


def _bytes(value: Value) -> int:
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return int(value.nbytes) + sum(map(_bytes, value.ravel().tolist()))
    if isinstance(value, dict | list):
        return len(json.dumps(value))
    return size_of(value)


class Keys:
    """Makes the keys of one stage's rows."""

    def __init__(self, stage: StagePlan) -> None:
        assert stage.cache is not None, "it is cached"
        chosen = stage.cache.key or [p.name for p in stage.inputs if not p.filled]
        self._ports = [(i, p) for i, p in enumerate(stage.inputs) if p.name in chosen]
        self._rows = stage.has_rows
        self._salt = identity(stage)

    def __call__(self, gathered: Gathered) -> list[bytes]:
        """A key for each row of a batch; for the whole call without `*`."""
        shared = hashlib.blake2b(self._salt, digest_size=16)
        columns = []
        for i, port in self._ports:
            value = gathered.inputs[i]
            if self._rows and port.type.has_rows and value is not None:
                columns.append(_rows(value, port, gathered))
            else:
                _feed(shared, value)
        if not self._rows:
            return [shared.digest()]
        keys = []
        for parts in zip(*columns, strict=True) if columns else [()] * gathered.rows:
            own = shared.copy()
            for part in parts:
                _feed(own, part)
            keys.append(own.digest())
        return keys


def _rows(value: Value, port: PortPlan, gathered: Gathered) -> Iterator[Value]:
    """The rows of one input, without what they are padded with."""
    if not port.type.is_ragged or port.form == "object":
        return iter(value)
    if isinstance(value, Ragged):
        return iter(value)
    name, axis = ragged_axis(port)
    lengths = gathered.lengths[name].tolist()
    if port.form == "packed":
        ends = np.cumsum(lengths).tolist()
        return iter([value[end - n : end] for n, end in zip(lengths, ends, strict=True)])
    return iter([row[(slice(None),) * axis + (slice(n),)] for row, n in zip(value, lengths, strict=True)])


def _feed(digest: Any, value: Value) -> None:
    """A value, so that no two different ones give the same bytes."""
    if value is None:
        digest.update(b"\0")
    elif isinstance(value, Ragged):
        digest.update(b"R%d" % len(value))
        for row in value:
            _feed(digest, row)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"A{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).view(np.uint8).data if value.size else b"")
    elif isinstance(value, np.ndarray):
        digest.update(f"O{value.shape}".encode())
        for item in value.ravel().tolist():
            _feed(digest, item)
    else:
        kind, data = _plain(value)
        digest.update(b"%s%d:" % (kind, len(data)))
        digest.update(data)


def _plain(value: Any) -> tuple[bytes, bytes]:
    """A single value as its kind and its bytes."""
    if isinstance(value, str):
        return b"s", value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, np.generic):
        return b"g", value.dtype.str.encode() + value.tobytes()
    if isinstance(value, bool):
        return b"t", b"1" if value else b"0"
    if isinstance(value, int | float):
        return b"n", repr(value).encode()
    return b"j", json.dumps(value, sort_keys=True).encode()


def identity(stage: StagePlan) -> bytes:
    """What a stage is, beside its inputs: its file's content, its arguments and its contract."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (stage.name, stage.version, stage.backend, sorted(map(repr, stage.arguments.items())), stage.contract):
        _feed(digest, repr(part))
    path = _artifact(stage)
    if path is not None:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.digest()


def _artifact(stage: StagePlan) -> Path | None:
    """The file the stage is loaded from, if it is one."""
    try:
        return artifact_path(stage)
    except BackendError:  # `pkg.mod:name`, a model's name, or nothing
        return None


def own_rows(outputs: Sequence[Value], row: int, ports: Sequence[PortPlan]) -> Row:
    """One row of each output in memory of its own, read-only."""
    return tuple(_own(value[row] if port.type.has_rows else value) for value, port in zip(outputs, ports, strict=True))


def _own(value: Value) -> Value:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Ragged):
        return Ragged([_own(row) for row in value])
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value
