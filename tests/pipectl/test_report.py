from executor.request import Execution
from pipectl.report import Report, critical_path
from pipeline_dsl.plan import Hardware, PipelinePlan, Plan, Slot, Step

SOURCES = {"p.b": ("p.a",), "p.c": ("p.a",), "p.d": ("p.b", "p.c")}
MS = 1_000_000


def ran(node: str, enqueued: int, start: int, end: int, rows: int = 1, requests: int = 1) -> Execution:
    return Execution(node, "stage", 0, enqueued * MS, start * MS, end * MS, rows, requests)


def test_the_critical_path_follows_the_latest_source():
    a, b, c, d = ran("p.a", 0, 0, 1), ran("p.b", 1, 1, 3), ran("p.c", 1, 1, 9), ran("p.d", 9, 9, 10)
    assert [e.node for e in critical_path([a, b, c, d], SOURCES)] == ["p.d", "p.c", "p.a"]
    assert [e.node for e in critical_path([b, a], SOURCES)] == ["p.b", "p.a"]
    assert list(critical_path([], SOURCES)) == []


def test_a_node_that_ran_twice_counts_with_its_last():
    first, again = ran("p.a", 0, 0, 1), ran("p.a", 1, 2, 4)
    assert list(critical_path([first, again], SOURCES)) == [again]


class FakeResponse:
    """What a report reads of a response."""

    def __init__(self, *executions: Execution) -> None:
        self.executions = list(executions)
        self.seconds = max(e.end_ns for e in executions) / 1e9


def step(index: int, node: str, *producers: int) -> Step:
    return Step(
        index=index, node=node, stage=0, binding="rows",
        args=tuple(Slot(p) for p in producers if p >= 0), outputs=(index,), types=(),
        producers=producers, consumers=(), level=0, run=0,
    )  # fmt: skip


PLAN = Plan((), {"p": PipelinePlan("p", (), (), (step(0, "p.a", -1), step(1, "p.b", 0)), 0)}, Hardware())


def test_batches_are_counted_once_though_each_request_saw_them():
    report = Report(PLAN, "p")
    shared = ran("p.a", 0, 2, 4, rows=12, requests=3)
    for n in range(3):
        report.add(FakeResponse(shared, ran("p.b", 4, 4, 5 + n)))
    report.add(None)
    head, a, b, _, summary = report.lines(0.01)
    assert head.split() == ["node", "rows", "batches", "rows/batch", "queue", "compute", "critical", "path"]
    assert a.split() == ["p.a", "12", "1", "12.0", "2", "ms", "2", "ms", "67", "%"]
    assert b.split() == ["p.b", "3", "3", "1.0", "0", "us", "2", "ms", "33", "%"]
    assert summary == "3 answers in 10 ms, 300 a second; median 6 ms, p99 7 ms; 1 failed"


def test_a_node_that_did_not_run_has_no_figures():
    report = Report(PLAN, "p")
    report.add(FakeResponse(ran("p.a", 0, 0, 1)))
    *_, b, _, summary = report.lines(0.001)
    assert b.split() == ["p.b", "0", "0", "-", "-", "-", "0", "%"]
    assert summary == "1 answer in 1 ms"


def test_no_answers_no_table():
    report = Report(PLAN, "p")
    report.add(None)
    assert report.lines(0.5) == ["0 answers in 500 ms; 1 failed"]
