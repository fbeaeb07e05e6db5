"""A headless Chromium, driven through its debugging pipe: open a page, run JavaScript in it, take its picture."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
        self._to.flush()
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _read(self) -> Any:
        data = bytearray()
        while (byte := self._back.read(1)) != b"\0":
            assert byte, "the browser ended"
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


@contextmanager
def page() -> Iterator[Page]:
    """A tab of a new browser with nothing in it."""
    assert CHROMIUM is not None
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()

    def pipes() -> None:
        os.dup2(to_read, 3)
        os.dup2(back_write, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=pipes,
            pass_fds=(3, 4),
        )
        os.close(to_read)
        os.close(back_write)
        with open(to_write, "wb") as to, open(back_read, "rb", buffering=0) as back:
            try:
                yield Page(to, back)
            finally:
                process.kill()
                process.wait()
