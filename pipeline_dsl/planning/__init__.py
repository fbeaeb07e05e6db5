"""Checked program -> plan: `build(program, hardware)`.

In the order data passes: `stages` (which runtime serves which call: `devices`, `ports`, `policies` over `reading`),
`wiring` (slots, producers, levels), `runs`, `constructs`, `pipelines`, `threads`, `streams` (`stream_assignment` over
`chains`), `transfers` over `made`, and `notes` with `copies` and `control_notes` for what a reader of the plan wants
to know. Nothing here fails on a program that `check` accepted.
"""

from __future__ import annotations

from .build import build

__all__ = ["build"]
