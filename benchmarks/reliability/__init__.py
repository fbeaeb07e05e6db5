"""Figures of promises that take too long for the test suite: overload, memory, slow clients, reloads.

    python -m benchmarks.reliability --json FILE [--only overload memory slow reload] [--scale 0.1]

Each measure starts `pipectl serve` as a process of its own and drives it over the wire. docs/reliability.md says what
is promised, and holds the figures.
"""
