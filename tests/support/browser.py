"""Open pages in headless Chromium and report what a reader would see, over the DevTools protocol.

This needs Debian's ``chromium`` and the package websocket-client. Every host name is mapped to nothing, so that a page
which depends on the network fails.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket

DESKTOP, PHONE = (1280, 900), (390, 844)

#: Seconds to wait for an answer of the browser: many, so that a busy machine does not look like a broken page.
PATIENCE = 240
INSPECT = Path(__file__).with_name("inspect_page.js")


@dataclass(frozen=True)
class Visit:
    """What one page showed at one width."""

    found: dict[str, Any]  #: The result of the inspection script.
    errors: tuple[str, ...]  #: Uncaught exceptions and errors on the console.
    requests: tuple[str, ...]  #: Addresses asked for that are neither on disk nor inside the page.


def executable() -> str | None:
    """Path of the Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A headless Chromium with one tab, and an empty folder for its own files."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._numbers = itertools.count(1)

    def __enter__(self) -> Browser:
        options = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-default-apps", "--hide-scrollbars", "--remote-debugging-port=0",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={self._profile}",
        ]
        self._process = subprocess.Popen(
            [executable() or "chromium", *options, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._profile)},
        )
        port_file = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        while not (port_file.is_file() and len(port_file.read_text().split()) == 2):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"Chromium did not start (exit code {self._process.poll()})")
            time.sleep(0.1)
        port, path = port_file.read_text().split()
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}{path}", timeout=PATIENCE, suppress_origin=True
        )
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        self._process.kill()
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events that arrive meanwhile are kept."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._events.append(answer)

    def evaluate(self, script: str) -> Any:
        """Value of a JavaScript expression in the page, promises awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def run(self, script: Path, *arguments: Any) -> Any:
        """Value of the function in a JavaScript file, called in the page."""
        return self.evaluate(f"({script.read_text(encoding='utf-8')})({', '.join(map(json.dumps, arguments))})")

    def visit(self, address: str, size: tuple[int, int]) -> Visit:
        """Open an address at a width and height in CSS pixels and inspect it once it has loaded."""
        self._resize(*size)
        self._events.clear()
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(json.loads(self._socket.recv()))  # raises if nothing comes for PATIENCE seconds
        return self._inspected()

    def resized(self, size: tuple[int, int]) -> Visit:
        """Inspect the open page at another width and height; errors and requests are those since it was opened."""
        self._resize(*size)
        return self._inspected()

    def _inspected(self) -> Visit:
        return Visit(self.run(INSPECT), tuple(self._errors()), tuple(self._requests()))

    def _resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def wait_until(self, condition: str, seconds: float = PATIENCE) -> bool:
        """Whether a JavaScript condition becomes true in time, across a redirect if there is one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(RuntimeError):  # the page is being replaced by the one that it leads to
                if self.evaluate(condition):
                    return True
            time.sleep(0.05)
        return False

    def screenshot(self, path: Path) -> None:
        """Save the open page as PNG, in its full length."""
        # The window is made as tall as the page: what lies beyond it may be laid out for another width.
        self._resize(*self.evaluate("[innerWidth, document.documentElement.scrollHeight]"))
        image = self.call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(image["data"]))

    def _errors(self) -> list[str]:
        found = []
        for event in self._events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            elif event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] == "error":
                found.append(" ".join(str(part.get("value", part)) for part in parameters["args"]))
        return found

    def _requests(self) -> list[str]:
        asked = [event["params"]["request"]["url"] for event in self._events
                 if event.get("method") == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
