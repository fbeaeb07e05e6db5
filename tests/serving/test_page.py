"""The page in a real browser: graph, live figures, a request by form; light and dark, wide and narrow."""

from __future__ import annotations

import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import CHROMIUM, NoBrowser, Page, page
from .http_server import Running, http_server
from .live import Live, live

Server = Live[Running]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to look at the page with")

PROGRAM = """pipe 1

stage scale(x: f32[*, 2]) -> (x: f32[*, 2]) using null(latency = 1ms)
stage count(data: bytes) -> (data: bytes) using null()
stage other(x: f32[*, 2]) -> (x: f32[*, 2]) using null(fail = "rows 13")

## Two numbers a row, there and back.
pipeline numbers(x: f32[*, 2], note: string = "none") -> (y: f32[*, 2], z: f32[*, 2], note: string) {
  y = scale(x)
  z = other(x)
  return y, z, note
}

pipeline upload(data: bytes) -> (data: bytes) {
  return data = count(data)
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "page.pipe"
    path.write_text(PROGRAM)
    with live(http_server(path)) as found:
        yield found


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    try:
        with page() as found:
            yield found
    except NoBrowser as error:
        pytest.skip(f"needs a Chromium that starts here: {error}")


def shown(tab: Page, server: Server, pipeline: str, width: int = 1200, *, dark: bool = False) -> None:
    tab.open(f"http://{server.value.url}/?{width}{dark}#{pipeline}%2F1", width, dark=dark)
    tab.until(f"document.querySelector('#name').textContent === '{pipeline}'")


def kept(tab: Page, name: str, tmp_path: Path) -> None:
    """A picture, where somebody wants to look at it."""
    tab.picture(Path(os.environ.get("PIPECTL_PICTURES", tmp_path)) / f"{name}.png")


def test_the_graph_has_every_node(tab: Page, server: Server, tmp_path: Path) -> None:
    shown(tab, server, "numbers")
    nodes = tab.value("[...document.querySelectorAll('#graph [data-node]')].map(n => n.dataset.node)")
    assert nodes == ["numbers.y", "numbers.z"]
    assert tab.value("document.querySelectorAll('#graph .edge').length") == 5
    assert tab.value("document.querySelector('#doc').textContent") == "Two numbers a row, there and back."
    kept(tab, "graph", tmp_path)
    assert tab.problems == []


def test_a_request_by_form(tab: Page, server: Server, tmp_path: Path) -> None:
    shown(tab, server, "numbers")
    tab.value("document.querySelector('textarea[name=x]').value = '[[1, 2], [3, 4]]'")
    tab.value("document.querySelector('#request .send').click()")
    tab.until("document.querySelector('#took').textContent.startsWith('in ')")
    found = tab.value("[...document.querySelectorAll('#outputs dd')].map(d => d.textContent)")
    assert found == ["[2, 2]  [1,2,3,4]", "[2, 2]  [1,2,3,4]", "none"]
    timings = tab.value("[...document.querySelectorAll('#timings tbody tr')].map(r => r.cells[0].textContent)")
    assert sorted(timings) == ["y", "z"]
    kept(tab, "answer", tmp_path)


def test_mistakes_are_told(tab: Page, server: Server) -> None:
    shown(tab, server, "numbers")
    for value, words in (
        ("[[1", "x is no JSON"),
        ("", "x needs a value"),
        ("[[1, 2, 3]]", "dim 1 must be 2"),
        ("[[13, 1]]", "numbers.z"),
    ):
        tab.value(f"document.querySelector('textarea[name=x]').value = '{value}'")
        tab.value("document.querySelector('#request .send').click()")
        tab.until("document.querySelector('#outputs dd.bad') !== null")
        assert words in tab.value("document.querySelector('#outputs dd.bad').textContent")
    tab.problems.clear()  # the browser notes answers that are errors


def test_a_file(tab: Page, server: Server, tmp_path: Path) -> None:
    shown(tab, server, "upload")
    path = tmp_path / "hello.txt"
    path.write_text("hello")
    tab.files("#request input[type=file]", path)
    tab.value("document.querySelector('#request .send').click()")
    tab.until("document.querySelector('#took').textContent.startsWith('in ')")
    assert tab.value("document.querySelector('#outputs dd').textContent") == "hello"


def test_figures_live(tab: Page, server: Server, tmp_path: Path) -> None:
    shown(tab, server, "numbers")
    ending = threading.Event()

    def load() -> None:
        body = b'{"x": [[1, 2]]}'
        while not ending.is_set():
            url = f"http://{server.value.url}/v2/models/numbers/generate"
            urllib.request.urlopen(url, body, timeout=20).close()

    client = threading.Thread(target=load)
    client.start()
    try:
        tab.until("Number(document.querySelector('#figures tbody tr')?.cells[2].textContent) > 1")
        row = tab.value("[...document.querySelector('#figures tbody tr').cells].map(c => c.textContent)")
        assert row[:2] == ["y", "scale"]
        assert row[6].endswith("ms")
        tab.until("/\\d\\/s/.test(document.querySelector('[data-node=\"numbers.y\"]').textContent)")
        kept(tab, "figures", tmp_path)
    finally:
        ending.set()
        client.join()


@pytest.mark.parametrize(("width", "dark"), [(1200, True), (420, False), (420, True)])
def test_it_fits(tab: Page, server: Server, tmp_path: Path, width: int, dark: bool) -> None:
    shown(tab, server, "numbers", width, dark=dark)
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    ground = tab.value("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(18, 22, 29)") is dark
    kept(tab, f"{'dark' if dark else 'light'}-{width}", tmp_path)


def test_the_documentation(tab: Page, server: Server, tmp_path: Path) -> None:
    tab.problems.clear()
    tab.open(f"http://{server.value.url}/docs")
    tab.until("document.querySelectorAll('.opblock').length > 30")
    assert "/v2/models/numbers/generate" in tab.value("document.body.innerText")
    kept(tab, "docs", tmp_path)
    assert tab.problems == []
