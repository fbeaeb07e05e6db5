"""What was found, as short tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.figures import Figure

from .compare import Result
from .works import Mode

Line = tuple[str, str, str]
"""A check: its name; ok, FAIL or skip; what was found."""


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns side by side: the first one to the left, the others to the right."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
        for line in lines
    )


def facts_table(facts: Mapping[str, str], figures: Sequence[Figure]) -> str:
    lines = [f"{name:<24}{value}" for name, value in facts.items()]
    for figure in figures:
        details = ", ".join(f"{k} {v:,.4g}" for k, v in figure.details.items())
        lines.append(f"{figure.name:<24}{figure.value:>10.4g} {figure.unit:<6}{details}")
    return "\n".join(lines)


def works_table(results: Sequence[Result]) -> str:
    """On a GPU: ours over theirs. Throughput: more is better; latency: less is better."""
    head = ["work", "rows", "mode", "req/s", "/one stream", "/one graph", "/stepwise", "ms", "/one stream"]
    head += ["/one graph", "/stepwise", "host us/node"]
    modes: tuple[Mode, ...] = ("apart", "together", "graph")
    rows = []
    for r in results:
        for mode in modes:
            if mode not in r.costs:
                continue
            ratios = [r.ratio(mode, way) for way in ("one stream", "one graph", "stepwise")]
            cost = r.costs[mode]
            more = [f"{throughput:.2f}" for throughput, _ in ratios]
            less = [f"{latency:.2f}" for _, latency in ratios]
            first = (r.work, str(r.rows), mode, f"{cost.per_second:,.0f}", *more)
            rows.append((*first, f"{cost.latency * 1e3:.3f}", *less, f"{r.host_us(mode):.1f}"))
    return grid(head, rows)


def counts_table(results: Sequence[Result]) -> str:
    """Anywhere: what the counters say for each request, and the time on the device."""
    head = (
        "work",
        "rows",
        "edges",
        "mode",
        "events",
        "waits",
        "copied B",
        "moved",
        "graphs",
        "makespan/path",
        "/serial",
    )
    rows = []
    for r in results:
        for mode, told in r.counters.items():
            line = [r.work, str(r.rows), str(r.edges), mode, f"{told.events:.1f}", f"{told.waits:.1f}"]
            line += [str(told.copied), str(r.moved) if mode == "apart" else "", str(told.replays)]
            if mode == "apart" and r.spans is not None:
                line += [f"{r.spans.makespan / r.spans.critical_path:.2f}", f"{r.spans.makespan / r.spans.serial:.2f}"]
            else:
                line += ["", ""]
            rows.append(line)
    lines = [grid(head, rows)]
    for r in results:
        why = r.counters["graph"].without_graphs if "graph" in r.counters else ""
        if why:
            lines.append(f"without a graph: {r.work}, {r.rows} rows: {why}")
    return "\n".join(lines)


def simulated_table(results: Sequence[Result]) -> str:
    """On the simulator: makespans in simulated microseconds."""
    rows = []
    for r in results:
        assert r.spans is not None, "every program was looked at"
        ours, hand = r.spans.makespan, r.seconds
        cells = [f"{seconds * 1e6:.1f}" for seconds in (ours, hand["one stream"], hand["stepwise"])]
        ratios = [f"{ours / hand[way]:.2f}" for way in ("one stream", "stepwise")]
        rows.append((r.work, str(r.rows), *cells, *ratios))
    return grid(("work", "rows", "ours us", "one stream", "stepwise", "/one stream", "/stepwise"), rows)


def checks_table(lines: Sequence[Line]) -> str:
    return "\n".join(f"{state:<5}{name:<24}{text}" for name, state, text in lines)
