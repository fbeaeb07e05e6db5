"""`python -m benchmarks.lsp [--rounds N]`: what the language server takes to answer, on a file of 2,000 lines.

A real client over stdin and stdout. Each question is asked of a text that rests, and while the server looks at a change
of it in its other thread. The value is the 95th percentile in milliseconds; `server_cpu` is what the server's process
spent on an answer of a text that rests, which a busy machine does not change.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from pipectl.lsp.project import DELAY

from .executor import table
from .figures import Figure

BUDGET = 100.0
LINES = 2000
BLOCK = """
## Stage {i} of many.
stage encode{i}(text: string[*]) -> (ids: i64[*, ~L], mask: i64[*, ~L]) using python("m:encode")
stage pool{i}(ids: i64[*, ~L], mask: i64[*, ~L]) -> (vec: f32[*, 4])
  using python("m:pool") {{
  ragged {{ L = pad(0) }}
}}
pipeline embed{i}(text: string[*]) -> (vec: f32[*, 4]) {{
  ids, mask = encode{i}(text)
  return vec = pool{i}(ids, mask)
}}
"""


def text_of(lines: int) -> str:
    """A module of so many lines, without mistakes."""
    count = lines // BLOCK.count("\n") + 1
    return "pipe 1\n" + "".join(BLOCK.format(i=i) for i in range(count))


class Session:
    """A server with one open text."""

    def __init__(self, folder: Path, text: str) -> None:
        self.client = LanguageClient("benchmark", "1")
        self.uri = (folder / "large.pipe").as_uri()
        self.text, self.version = text, 1
        self.told = asyncio.Event()
        self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda _: self.told.set())

    async def start(self) -> float:
        """Opens the text; seconds until its mistakes are told."""
        await self.client.start_io(sys.executable, "-m", "pipectl", "lsp")
        await self.client.initialize_async(types.InitializeParams(capabilities=types.ClientCapabilities()))
        self.client.initialized(types.InitializedParams())
        started = time.perf_counter()
        item = types.TextDocumentItem(self.uri, "pipe", 1, self.text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        await self.told.wait()
        return time.perf_counter() - started

    @property
    def pid(self) -> int:
        assert self.client._server is not None
        return self.client._server.pid

    def change(self, text: str) -> None:
        self.version += 1
        about = types.VersionedTextDocumentIdentifier(uri=self.uri, version=self.version)
        whole = types.TextDocumentContentChangeWholeDocument(text=text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(about, [whole]))

    async def settle(self) -> None:
        """Waits until the text as it is has been looked at: quick fixes are those of this very text."""
        nowhere = types.Range(types.Position(0, 0), types.Position(0, 0))
        params = types.CodeActionParams(
            text_document=types.TextDocumentIdentifier(self.uri), range=nowhere, context=types.CodeActionContext([])
        )
        await self.client.text_document_code_action_async(params)

    async def stop(self) -> None:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        await self.client.stop()

    # ---- questions, each at the middle of the text

    def position(self, after: str) -> types.Position:
        middle = self.text.index(after, len(self.text) // 2) + len(after)
        return types.Position(self.text.count("\n", 0, middle), middle - self.text.rfind("\n", 0, middle) - 1)

    async def hover(self) -> Any:
        about = types.TextDocumentIdentifier(self.uri)
        found = await self.client.text_document_hover_async(types.HoverParams(about, self.position("  ids, ma")))
        assert found is not None
        return found

    async def ports(self) -> Any:
        return await self._complete("= pool", "(")

    async def names(self) -> Any:
        return await self._complete("mask", " = ")

    async def _complete(self, before: str, after: str) -> Any:
        place = self.position(before)
        line = self.text.split("\n")[place.line]
        position = types.Position(place.line, line.index(after, place.character) + len(after))
        about = types.TextDocumentIdentifier(self.uri)
        found = await self.client.text_document_completion_async(types.CompletionParams(about, position))
        assert isinstance(found, types.CompletionList)
        assert found.items
        return found


async def _times(ask: Callable[[], Awaitable[Any]], rounds: int, change: Callable[[], None] | None) -> list[float]:
    found = []
    for i in range(rounds):
        if change is not None:
            change()
            await asyncio.sleep(DELAY + 0.01 + 0.2 * i / rounds)  # into the analysis, at another point each time
        started = time.perf_counter()
        await ask()
        found.append((time.perf_counter() - started) * 1e3)
    return sorted(found)


def _figure(name: str, times: list[float], **more: float) -> Figure:
    value = times[min(len(times) - 1, round(len(times) * 0.95))]
    details = {"median": times[len(times) // 2], "most": times[-1], **more}
    return Figure(name, value, BUDGET, unit="ms", details=details)


def _cpu_ms(pid: int) -> float:
    """Processor time of a process so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


async def measure(rounds: int) -> list[Figure]:
    """All figures, from one session."""
    text = text_of(LINES)
    session = Session(Path(tempfile.gettempdir()), text)
    first = await session.start()
    typed = 0

    def busy() -> None:
        nonlocal typed
        typed += 1
        session.change(text + "#" * (typed % 7 + 1) + "\n")

    questions = {"hover": session.hover, "complete_ports": session.ports, "complete_names": session.names}
    found = []
    for name, ask in questions.items():
        await session.settle()
        before = _cpu_ms(session.pid)
        times = await _times(ask, rounds, None)
        found.append(_figure(f"lsp_{name}_ms", times, server_cpu=(_cpu_ms(session.pid) - before) / rounds))
        found.append(_figure(f"lsp_{name}_busy_ms", await _times(ask, rounds, busy)))
    await session.stop()
    print(f"{text.count(chr(10)):,} lines; mistakes told after {first * 1e3:.0f} ms")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lsp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how often each question is asked")
    found = asyncio.run(measure(parser.parse_args().rounds))
    print(table(found))
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
