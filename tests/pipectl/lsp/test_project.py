"""When texts are looked at, and what is known meanwhile. Nothing waits for a clock: the delay is none, or endless."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from lsprotocol import types

import pipectl.lsp.project
from pipectl.lsp.documents import Document
from pipectl.lsp.project import Project
from pipeline_dsl.diagnostics import Diagnostic

Talk = Callable[[Project, list[tuple[str, list[str]]]], Awaitable[None]]


def run(talk: Talk, delay: float = 3600) -> list[tuple[str, list[str]]]:
    """What was published, as paths and codes."""
    told: list[tuple[str, list[str]]] = []

    def publish(path: str, found: list[Diagnostic]) -> None:
        told.append((path, [d.code for d in found]))

    async def main() -> None:
        project = Project(publish, delay)
        try:
            await talk(project, told)
        finally:
            project.stop()

    asyncio.run(main())
    return told


def opened(project: Project, text: str, name: str = "/x.pipe") -> Document:
    document = project.documents.open(types.TextDocumentItem(f"file://{name}", "pipe", 1, text))
    project.opened(document)
    return document


def changed(project: Project, text: str, name: str = "/x.pipe") -> Document:
    change = types.TextDocumentContentChangeWholeDocument(text=text)
    document = project.documents.change(f"file://{name}", 2, [change])
    assert document is not None
    project.changed(document)
    return document


def test_a_change_waits_and_answers_use_what_is_known() -> None:
    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        document = opened(project, "pipe 1\nconst A = 1\n")
        assert project.views(document) == []
        (view,) = await project.known(document)
        assert view.current
        newer = changed(project, "pipe 1\nconst A = B\n")
        (view,) = await project.known(newer)
        assert not view.current
        assert told == [("/x.pipe", [])]
        exact = await project.exact(newer)
        assert exact is not None
        assert exact.current
        assert told == [("/x.pipe", []), ("/x.pipe", ["E0103"])]

    run(talk)


def test_the_last_whole_text_is_kept_beside_a_broken_one() -> None:
    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        await project.known(opened(project, "pipe 1\nconst A = 1\n"))
        broken = changed(project, "pipe 1\nconst A = = 1\n")
        await project.exact(broken)
        views = project.views(broken)
        assert [v.analysis.whole for v in views] == [False, True]
        assert [d.name for v in views for d in v.analysis.index.defined()] == ["A"]

    run(talk)


def test_a_mistake_of_ours_is_logged_and_what_was_known_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        await project.known(opened(project, "pipe 1\n"))

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(pipectl.lsp.project, "analyse", fail)
        newer = changed(project, "pipe 1\nconst A = 1\n")
        assert await project.exact(newer) is None
        assert len(project.views(newer)) == 1

    run(talk)
    assert "looking at /x.pipe failed" in caplog.text


def test_the_same_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    analyse = pipectl.lsp.project.analyse

    def counted(path: str, *rest: object) -> object:
        looked.append(path)
        return analyse(path, *rest)  # type: ignore[arg-type]  # handed on as given

    monkeypatch.setattr(pipectl.lsp.project, "analyse", counted)

    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        document = opened(project, "pipe 1\n")
        await asyncio.gather(*(project.known(document) for _ in range(5)))
        assert looked == ["/x.pipe"]

    run(talk)


def test_changes_while_a_text_is_looked_at_wait_in_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    go = threading.Event()
    started: list[Callable[[], object]] = []
    analyse = pipectl.lsp.project.analyse

    def slow(path: str, text: str, *rest: object) -> object:
        looked.append(text)
        for tell in started:
            tell()
        started.clear()
        go.wait(30)
        return analyse(path, text, *rest)  # type: ignore[arg-type]  # handed on as given

    monkeypatch.setattr(pipectl.lsp.project, "analyse", slow)

    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        document = opened(project, "pipe 1\n")
        looking = asyncio.Event()
        loop = asyncio.get_running_loop()
        started.append(lambda: loop.call_soon_threadsafe(looking.set))
        first = asyncio.ensure_future(project.known(document))
        await looking.wait()
        for i in range(5):
            last = changed(project, f"pipe 1\nconst A = {i}\n")
            project._start("/x.pipe")
        go.set()
        await first
        view = await project.exact(last)
        assert view is not None
        assert view.current

    run(talk)
    assert looked == ["pipe 1\n", "pipe 1\nconst A = 4\n"]


def test_importers_are_looked_at_when_what_they_import_changes() -> None:
    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        done = asyncio.Event()
        project.publish = lambda path, found: (told.append((path, [d.code for d in found])), done.set())[0]
        main = opened(project, 'pipe 1\nfrom "lib.pipe" import A\nconst B = A\n', "/main.pipe")
        await project.known(main)
        assert ("/main.pipe", ["E0101"]) in told
        done.clear()
        told.clear()
        opened(project, "pipe 1\nconst A = 1\n", "/lib.pipe")
        while ("/main.pipe", []) not in told:
            await done.wait()
            done.clear()

    run(talk, delay=0)


def test_a_closed_text_is_forgotten_even_while_it_is_looked_at() -> None:
    async def talk(project: Project, told: list[tuple[str, list[str]]]) -> None:
        document = opened(project, "pipe 1\nconst A = B\n")
        looking = asyncio.ensure_future(project.known(document))
        await asyncio.sleep(0)
        closed = project.documents.close(document.uri)
        assert closed is not None
        project.closed(closed)
        assert await looking == []
        assert told == [("/x.pipe", [])]

    run(talk)
