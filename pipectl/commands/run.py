"""`pipectl run`: requests from options or a file through a pipeline, answers to the terminal or a file."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from pipectl.console import Exit, Session, common
from pipectl.options import device, names, pipe_file, schedule, seconds, sequence, serial, the_one

if TYPE_CHECKING:
    from executor.sequence import SequenceInfo
    from pipectl.answer import Answer, Writer
    from pipectl.app import App, PipelineHandle
    from pipectl.choices import Choices
    from pipectl.inputs import Ask, Requests
    from pipectl.interrupt import Interrupt
    from pipectl.report import Report
    from pipeline_dsl.plan import DeviceOverride, PipelinePlan, Plan

LEAST_IN_FLIGHT = 64
SHOWN_FAILURES = 10
"""Failures that are told on stderr when answers go to a file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one run."""

    file: str
    pipeline: str | None
    profile: str | None
    params: dict[str, str]
    device: DeviceOverride
    serial: bool
    inputs: tuple[str, ...]
    jsonl: BinaryIO | None
    output: Path | None
    outputs: list[str] | None
    form: str
    timeout: float | None
    sequence: SequenceInfo | None
    in_flight: int | None
    warmup: int
    metrics: Path | None
    trace: Path | None
    explain_route: bool


@click.command("run")
@pipe_file
@click.option("-p", "--pipeline", metavar="NAME", help="Which pipeline; needed if the file has several.")
@schedule
@device
@serial
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value, or @FILE or @GLOB. Several values for one name are several requests.",
)
@click.option("--jsonl", type=click.File("rb"), metavar="FILE", help="Requests, one JSON object a line; - is stdin.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write answers to a .jsonl, .npz or .parquet file.",
)
@click.option("--outputs", callback=names, metavar="NAME,..", help="Compute these outputs only.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print answers.")
@click.option("--timeout", callback=seconds, metavar="TIME", help="Of each request: 0.2, 200ms.")
@click.option(
    "--sequence",
    callback=sequence,
    metavar="ID[,start][,end]",
    help="The requests are one sequence; the first starts it and the last ends it, or what is said of that.",
)
@click.option("--in-flight", type=click.IntRange(1), metavar="N", help="Requests under way at a time.")
@click.option("--warmup", type=click.IntRange(0), default=0, metavar="N", help="Run the first request N times before.")
@click.option("--metrics", type=click.Path(dir_okay=False, path_type=Path), help="Write Prometheus metrics here.")
@click.option("--trace", type=click.Path(dir_okay=False, path_type=Path), help="Write a trace for Perfetto here.")
@click.option("--explain-route", is_flag=True, help="Say which arm of each `route` a request took, and why.")
@common
@click.pass_obj
def command(session: Session, /, **options: object) -> Exit:
    """Answer requests with a pipeline.

    \b
    pipectl run hello.pipe --input name=Ada --input name=Grace
    pipectl run digits.pipe --input 'image=@scans/*.png' --output labels.parquet
    pipectl run embed.pipe --jsonl lines.jsonl --output vectors.npz

    A VALUE is text for string and bytes ports and JSON for others; a text that starts with @ is written @@.
    Files are taken as bytes, text, .npy, .npz, .json or an image, as the port asks. Requests run
    concurrently; answers come in order, failures in their place, and give exit code 4. Ctrl-C finishes what
    is under way, but for streams, which it cancels.

    Streams are printed as they come, a row or line for each element.

    The last table has a line for each node: the mean wait of a request, the mean time of a batch, and the node's
    share of the time that requests spent on their longest way through the graph."""
    return _run(Settings(**options), session)  # type: ignore[arg-type]  # click made them from the options above


def _run(settings: Settings, session: Session) -> Exit:
    from executor.trace import Recorder
    from pipectl.app import compile, load  # noqa: A004 - the public name
    from pipectl.choices import Choices
    from pipectl.interrupt import Interrupt
    from pipectl.tuning import tuned

    chosen, serial = settings.device, settings.serial
    plan = compile(settings.file, profile=settings.profile, params=settings.params, device=chosen, serial=serial)
    pipeline = plan.pipelines[the_one(settings.file, list(plan.pipelines), settings.pipeline)]
    requests = _requests(pipeline, settings)
    _check_outputs(pipeline, settings.outputs)
    recorder = Recorder() if settings.trace or settings.explain_route else None
    open_writer = _writer(pipeline, settings)
    with load(plan, recorder=recorder) as app, tuned(plan), closing(open_writer()) as writer:
        with Interrupt() as interrupt:
            choices = Choices(recorder) if recorder and settings.explain_route else None
            code = _answer(app, app[pipeline.name], requests, settings, session, writer, interrupt, choices)
        if settings.metrics:
            settings.metrics.write_text(app.metrics(), encoding="utf-8")
        if recorder and settings.trace:
            from msgspec import json

            settings.trace.write_bytes(json.encode(recorder.chrome(plan)))
    return code


def _requests(pipeline: PipelinePlan, settings: Settings) -> Requests:
    from pipectl.inputs import from_lines, from_options, one_sequence

    if settings.jsonl is not None:
        requests = from_lines(pipeline, settings.jsonl, settings.inputs)
    else:
        requests = from_options(pipeline, settings.inputs)
    if settings.sequence is not None:
        return one_sequence(requests, settings.sequence)
    if pipeline.sequence and settings.jsonl is None:
        text = f"pipeline `{pipeline.name}` takes requests of sequences"
        raise click.UsageError(f"{text}: give --sequence ID, or `sequence` in the lines of --jsonl")
    return requests


def _check_outputs(pipeline: PipelinePlan, wanted: Iterable[str] | None) -> None:
    names = [port.name for port in pipeline.outputs]
    for name in wanted or ():
        if name not in names:
            raise click.UsageError(f"pipeline `{pipeline.name}` has no output `{name}`, but {', '.join(names)}")


def _writer(pipeline: PipelinePlan, settings: Settings) -> Callable[[], Writer]:
    """What opens the place where answers go. A file is opened when all stages are loaded: a mistake before that must
    not cost the answers it holds."""
    from pipectl.outputs import JsonLines, Table, opener

    ports = [p for p in pipeline.outputs if settings.outputs is None or p.name in settings.outputs]
    if settings.output:
        return opener(settings.output, ports)
    if settings.form == "json":
        return lambda: JsonLines(sys.stdout)
    return lambda: Table(sys.stdout, _head(pipeline, settings.inputs), [port.name for port in ports])


def _head(pipeline: PipelinePlan, inputs: Iterable[str]) -> str:
    """The first column: the input whose files name the requests, else `request`."""
    return next((i.partition("=")[0] for i in inputs if i.partition("=")[2].startswith("@")), "request")


def _answer(
    app: App,
    handle: PipelineHandle,
    requests: Requests,
    settings: Settings,
    session: Session,
    writer: Writer,
    interrupt: Interrupt,
    choices: Choices | None,
) -> Exit:
    """Answer all requests, then say what that cost."""
    from pipectl.progress import Progress
    from pipectl.report import Report
    from pipectl.runner import answers

    asks = _warmed(handle, requests.asks, settings)
    report = Report(app.plan, handle.name)
    progress = Progress(session, requests.count)
    shared = settings.output is None and sys.stdout.isatty()
    start = time.perf_counter()
    in_flight = settings.in_flight or _in_flight(app.plan, handle.name)
    patient = not any(stage.contract.effects == "once" for stage in app.plan.stages)
    options = {"timeout": settings.timeout, "outputs": settings.outputs}
    try:
        for done in answers(handle, asks, in_flight, interrupt, patient=patient, **options):
            if shared:
                progress.hide()
            answer = choices.explained(done) if choices else done.answer
            if done.told:
                writer.write(answer)
            if not done.last:
                continue
            report.add(done.response)
            progress.advance()
            if done.answer.failure and settings.output:
                _tell(done.answer, report, session)
    finally:
        progress.hide()
    seconds = time.perf_counter() - start
    return _conclude(report, seconds, settings, session, writer, interrupt, choices)


def _warmed(handle: PipelineHandle, asks: Iterator[Ask], settings: Settings) -> Iterator[Ask]:
    """The same requests, after the first was answered `--warmup` times for nobody."""
    first = next(asks, None) if settings.warmup else None
    if first is None:
        return asks
    if not first.error:
        for _ in range(settings.warmup):
            _for_nobody(handle, first, settings)
    return chain([first], asks)


def _for_nobody(handle: PipelineHandle, ask: Ask, settings: Settings) -> None:
    from executor.errors import RequestError
    from executor.streaming.answer import StreamResponse
    from executor.streaming.pieces import Pieces

    alone = None if ask.sequence is None else replace(ask.sequence, start=True, end=True)
    with suppress(RequestError):  # told when the request itself is made
        response = handle(ask.inputs, outputs=settings.outputs, sequence=alone)
        if isinstance(response, StreamResponse):
            deque(Pieces(response, handle.streams), maxlen=0)


def _in_flight(plan: Plan, pipeline: str) -> int:
    """Enough to fill two batches of the largest stage, and no more than the pipeline lets in."""
    door = plan.pipelines[pipeline].admission
    wanted = max([LEAST_IN_FLIGHT, *(2 * stage.batching.max_rows for stage in plan.stages)])
    return min(wanted, door.max_inflight) if door.max_inflight else wanted


def _tell(answer: Answer, report: Report, session: Session) -> None:
    """A failure, where the answers themselves go to a file."""
    from pipectl.encode import printable

    if report.failed <= SHOWN_FAILURES:
        session.problem(printable(f"request {answer.index} ({answer.id}): {answer.failure}"))
    elif report.failed == SHOWN_FAILURES + 1:
        session.warn("further failures are in the file only")


def _conclude(
    report: Report,
    seconds: float,
    settings: Settings,
    session: Session,
    writer: Writer,
    interrupt: Interrupt,
    choices: Choices | None,
) -> Exit:
    """The table of costs, and the exit code."""
    writer.close()
    stream = sys.stderr if settings.form == "json" and not settings.output else sys.stdout
    gap = "" if settings.output or stream is sys.stderr else "\n"
    told = choices if settings.form != "json" else None  # there they stand with the answers
    lines = [*told.lines(), ""] if told else []
    stream.write(gap + "\n".join(lines + report.lines(seconds)) + "\n")
    if interrupt:
        session.warn("interrupted; requests that were not made are missing")
        return interrupt.code
    return Exit.RUNTIME if report.failed else Exit.OK
