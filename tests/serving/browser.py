"""A headless Chromium, driven through its debugging pipe: open a page, run JavaScript in it, take its picture."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class Page:
    """One tab."""

    def __init__(self, to: Any, back: Any) -> None:
        self._to = to
        self._back = back
        self._numbers = count(1)
        self._session = ""
        self.problems: list[str] = []
        """What the page wrote to its console as an error, and requests that went elsewhere."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str, width: int = 1200, height: int = 900, *, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What an expression is, promises awaited."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 20.0) -> Any:
        """Wait in the page until an expression is true; what it is."""
        script = f"""new Promise((done, fail) => {{
            const end = performance.now() + {seconds * 1000};
            const look = () => {{
                let found = false;
                try {{ found = {condition}; }} catch (e) {{}}
                if (found) done(found);
                else if (performance.now() > end) fail(new Error("not in time: " + {json.dumps(condition)}));
                else requestAnimationFrame(look);
            }};
            look();
        }})"""
        return self.value(script)

    def files(self, selector: str, path: Path) -> None:
        """Choose a file."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, path: Path) -> None:
        found = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _read(self) -> Any:
        data = bytearray()
        while (byte := self._back.read(1)) != b"\0":
            if not byte:
                raise EOFError("the browser ended")
            data += byte
        return json.loads(data)

    def _note(self, event: Any) -> None:
        method, params = event.get("method", ""), event.get("params", {})
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["text"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:")):
                self.problems.append(f"asked {url}")


class NoBrowser(Exception):
    """It does not start on this machine: what it wrote."""


@contextmanager
def page(attempts: int = 3) -> Iterator[Page]:
    """A tab of a new browser with nothing in it. One that ends while it starts is replaced; NoBrowser if all end."""
    with ExitStack() as stack:
        yield _tab(stack, attempts)


def _tab(stack: ExitStack, attempts: int) -> Page:
    try:
        return stack.enter_context(_browser())
    except NoBrowser:
        if attempts == 1:
            raise
        return _tab(stack, attempts - 1)


@contextmanager
def _browser() -> Iterator[Page]:
    assert CHROMIUM is not None
    with ExitStack() as stack:
        # Not in the folder of the tests: sockets below it, and the path of a socket is short.
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True))
        stderr = stack.enter_context((Path(folder) / "stderr").open("w+b"))
        reads, to_write = os.pipe()
        to = stack.enter_context(open(to_write, "wb", buffering=0))
        back_read, writes = os.pipe()
        back = stack.enter_context(open(back_read, "rb", buffering=0))
        process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$0" "$@" 3<&{reads} 4>&{writes}',
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={folder}/profile",
            ],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=(reads, writes),
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        os.close(reads)
        os.close(writes)
        try:
            tab = Page(to, back)
        except (BrokenPipeError, EOFError) as error:
            process.kill()
            code = process.wait()
            stderr.seek(0)
            raise NoBrowser(
                f"{CHROMIUM} ended with {code}: {stderr.read().decode(errors='replace')[-2000:]}"
            ) from error
        yield tab
