"""`route`: each element takes one arm, by a stable hash of its key or by a draw; shadows get copies that answer nobody.

A key's place among the shares depends on the key and the node's id only: the same in every process, and when shares
change only keys between the old bound and the new one change arms.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import cast

from backends.values import Value
from executor.cohort import Cohort, Layout
from executor.columns import Copies, chosen
from executor.element import Child, Element
from executor.errors import DeadlineExceeded, Overloaded, RequestError
from executor.node import Arguments, Going, Node
from executor.passage import Passage
from executor.scope import Aftermath, Scope
from executor.trace import RouteRecord
from executor.wiring import Circuit, Entry, Wirer
from pipeline_dsl.plan import RouteArmPlan, RoutePlan, Step

from .branch import Arm, host_values, into


class Route(Node):
    """Its arms are regions of the same elements; its shadows have elements of their own."""

    __slots__ = ("_arms", "_bounds", "_keyed", "_shadows")

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        plan = step.control
        assert isinstance(plan, RoutePlan)
        self._keyed = plan.keyed
        self._arms = [Arm(a.name, wirer.arm(self, step, a.region)) for a in plan.arms]
        self._bounds = list(accumulate(a.share for a in plan.arms))[:-1]
        """Upper bounds of the shares, without the last, which is 1."""
        self._shadows = [Shadow(self, step, arm, wirer) for arm in plan.shadows]

    def reads(self) -> Sequence[int]:
        return (0,) if self._keyed else ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        flow = passage.flow
        keys = host_values(cohort.columns[0], len(cohort)) if self._keyed else None
        draw = flow.random.random
        places = [share_of(self.name, k) for k in keys] if keys is not None else [draw() for _ in range(len(cohort))]
        taken: dict[int, list[int]] = {}
        for i, place in enumerate(places):
            taken.setdefault(bisect_right(self._bounds, place), []).append(i)
        if flow.recorder is not None:
            self._record(cohort.layout, keys, places, passage)
        copies = Copies()
        going = [into(self._arms[arm].entry, cohort, indices, copies) for arm, indices in taken.items()]
        for shadow in self._shadows:
            try:
                going += shadow.copies_of(cohort, passage)
            except Exception:  # out of memory, mostly: that is no concern of the elements
                flow.tally.count("shadow", f"{self.name}/{shadow.arm}", {"failure": 1})
        flow.tally.count("arm", self.name, {self._arms[arm].name: len(n) for arm, n in taken.items()}, copies)
        return going

    def _record(self, layout: Layout, keys: list[Value] | None, places: list[float], passage: Passage) -> None:
        """Which arm each element took, and why."""
        recorder = passage.flow.recorder
        assert recorder is not None
        for i, (owner, place) in enumerate(zip(layout.owners, places)):
            arm = bisect_right(self._bounds, place)
            lower, upper = ([0.0, *self._bounds][arm], [*self._bounds, 1.0][arm])
            key = None if keys is None else repr(keys[i])
            name = self._arms[arm].name
            recorder.routes.append(RouteRecord(owner.id, owner.serial, self.name, name, place, lower, upper, key))


def share_of(salt: str, key: Value) -> float:
    """The place of a key, 0 to 1, evenly spread."""
    salted = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    digest = hashlib.blake2b(_canonical(key), key=salted, digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def _canonical(key: Value) -> bytes:
    """The same bytes for the same value, whatever process or machine."""
    if isinstance(key, bytes):
        return b"b" + key
    if isinstance(key, float):
        return b"f" + key.hex().encode()
    return f"{type(key).__name__}:{key}".encode("utf-8", "surrogatepass")


# ---- shadows


class ShadowScope(Scope):
    """One copy of an element. It is open on its own account: that its parent ends does not touch it."""

    __slots__ = ("_open",)

    node: Shadow
    silent = True

    def __init__(self, node: Shadow, parent: Element, held: set[Scope]) -> None:
        """`held`: all that are open."""
        super().__init__(node, node.inside, parent)
        self._open = held

    def begin(self) -> Child:
        child = Child(self, 0, self.parent.deadline_ns)
        self.live.add(child)
        return child

    def enter(self) -> None:
        self._open.add(self)

    def close(self) -> None:
        self.closed = True
        self._open.discard(self)

    def lost(self, child: Child, error: RequestError, after: Aftermath) -> None:
        dropped = isinstance(error, Overloaded | DeadlineExceeded)
        after.count("shadow", f"{self.node.name}/{self.node.arm}", "dropped" if dropped else "failure")
        self.close()


class Shadow(Node):
    """The end of a shadow arm, and the way into it."""

    __slots__ = ("_entry", "_sample", "arm", "inside")

    def __init__(self, route: Route, step: Step, plan: RouteArmPlan, wirer: Wirer) -> None:
        super().__init__(route.name, (), 1)
        self.arm = plan.name
        self._sample = plan.share
        inner = wirer.inside(background=True)
        self.inside: Circuit = inner.circuit
        self._entry: Entry = inner.region(step, plan.region, self._end, whole=True)

    def _end(self, arguments: Arguments, sides: int) -> Node:
        return ShadowEnd(self, arguments, sides)

    def copies_of(self, cohort: Cohort, passage: Passage) -> list[Going]:
        """Copies of some of the elements, on their way in."""
        flow = passage.flow
        indices = [i for i in range(len(cohort)) if self._sample >= 1 or flow.random.random() < self._sample]
        if not indices:
            return []
        copies = Copies()
        columns = chosen([cohort.columns[c] for c in self._entry.captured], indices, copies, "branch")
        flow.tally.copied(self.name, copies)
        scopes = [ShadowScope(self, cohort.layout.owners[i], flow.shadows) for i in indices]
        layout = Layout(tuple([scope.begin() for scope in scopes]))
        with flow.lock:
            for scope in scopes:
                scope.enter()
        return [(self._entry.edges, layout, columns)]


class ShadowEnd(Node):
    """All of a shadow arm has run."""

    __slots__ = ("shadow",)

    def __init__(self, shadow: Shadow, arguments: Arguments, sides: int) -> None:
        super().__init__(shadow.name, arguments, sides)
        self.shadow = shadow

    def reads(self) -> Sequence[int]:
        return ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        flow, ended = passage.flow, 0
        with flow.lock:
            for owner in cohort.layout.owners:
                if not owner.done:
                    owner.done = True
                    child = cast(Child, owner)
                    child.leave()
                    child.scope.close()
                    child.scope.live = set()
                    ended += 1
            if flow.watched:
                flow.rested()
        flow.tally.count("shadow", f"{self.name}/{self.shadow.arm}", {"success": ended})
        return ()
