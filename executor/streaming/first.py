"""`try` around a stream: an attempt has won when its streams have begun, and until then it can be replaced.

What fails behind the first element ends the stream, and the request that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from backends.streams import Reader
from executor.cohort import Cohort
from executor.errors import RequestError
from executor.node import Arguments, Going, Node
from executor.passage import Passage

if TYPE_CHECKING:
    from executor.flow import Flow


class FirstElement(Node):
    """The end of a body that yields streams; `settle` is where an attempt goes that has begun."""

    __slots__ = ("_settle", "_streams")

    def __init__(self, name: str, arguments: Arguments, sides: int, streams: Sequence[int], settle: Node) -> None:
        """`streams`: which of its columns are."""
        super().__init__(name, arguments, sides)
        self._streams = streams
        self._settle = settle

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        for i in range(len(cohort)):
            one = cohort.cut(i, i + 1)
            values = [None if (c := one.columns[s]) is None else c.element(0) for s in self._streams]
            readers = [value for value in values if value is not None]
            _Waiting(passage.flow, self._settle, one, readers)
        return ()


class _Waiting:
    """An attempt whose streams have not all begun."""

    __slots__ = ("_cohort", "_flow", "_left", "_lock", "_settle")

    def __init__(self, flow: Flow, settle: Node, cohort: Cohort, readers: Sequence[Reader]) -> None:
        self._flow = flow
        self._settle = settle
        self._cohort = cohort
        self._left = len(readers) + 1
        self._lock = Lock()
        for reader in readers:
            reader.stream.when_begun(self._begun)
        self._begun(None)

    def _begun(self, error: BaseException | None) -> None:
        """On whatever thread made the first element."""
        if isinstance(error, RequestError):
            self._flow.end([(self._cohort.layout.owners[0], copy(error))])
            return
        with self._lock:
            self._left -= 1
            if self._left:
                return
        passage = Passage(self._flow)
        going = self._settle.arrive(self._cohort, passage)  # before the next element is made, which may fail
        self._flow.workers.put(partial(self._flow.carry_on, going, passage))
