"""How long each step of one request took, for a caller that asks."""

from __future__ import annotations

import msgspec

from executor.request import Response


def timings(response: Response) -> str:
    """JSON: for each execution its node, seconds from the request's arrival to its start, seconds it waited and ran,
    and the rows of its batch, in the order in which they began."""
    arrived, prefix = response.arrived_ns, len(response.pipeline) + 1
    ran = sorted(response.executions, key=lambda e: e.start_ns)
    found = [
        {
            "node": e.node[prefix:],
            "start": (e.start_ns - arrived) / 1e9,
            "queue": (e.start_ns - e.enqueued_ns) / 1e9,
            "compute": (e.end_ns - e.start_ns) / 1e9,
            "rows": e.rows,
        }
        for e in ran
    ]
    return msgspec.json.encode(found).decode()
