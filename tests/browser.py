"""Headless Chromium, driven through the DevTools protocol over a pipe: no port, no package.

with Browser("--use-fake-ui-for-media-stream") as browser, served(HTML) as url:
    page = browser.open(url)
    assert page.evaluate("document.title") == "..."
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
END_S = 10.0
_QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
)


class BrowserError(AssertionError):
    """The browser ended, said nothing in time, refused a command, or the page's script threw."""


def find_browser() -> str | None:
    """The first Chromium on the path."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One browser with a profile of its own, thrown away at the end. Use it in a `with` block.

    Args:
        switches: added to the command line.
        environment: of the browser; None is this process's own.
        limit_s: how long any answer may take, unless a call says otherwise.
    """

    def __init__(
        self, *switches: str, environment: Mapping[str, str] | None = None, limit_s: float = 60.0
    ) -> None:
        self._switches = switches
        self._environment = environment
        self._limit_s = limit_s
        self._last = 0
        self._received = b""

    def __enter__(self) -> Self:
        program = find_browser()
        if program is None:
            raise BrowserError("no Chromium is installed")
        self._profile = Path(tempfile.mkdtemp(prefix="browser-"))
        hears, self._to = os.pipe()
        self._from, says = os.pipe()
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        switches = (*_QUIET, *root, f"--user-data-dir={self._profile}", *self._switches, "about:blank")
        # Chromium listens on 3 and answers on 4; only a shell can place them there without a race.
        shell = f'exec "$0" "$@" 3<&{hears} 4>&{says}'
        with (self._profile / "log").open("wb") as log:
            self._program = subprocess.Popen(
                ["/bin/bash", "-c", shell, program, *switches],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(hears, says),
                start_new_session=True,
            )
        os.close(hears)
        os.close(says)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)  # it ends by itself when nobody drives it any more
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._program.wait(END_S)
                break
            os.killpg(self._program.pid, number)
        self._program.wait(END_S)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> Page:
        """A new page, loaded."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, target, session)
        page.navigate(url)
        return page

    def call(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        session: str | None = None,
        limit_s: float | None = None,
    ) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result; events on the way are ignored.

        Raises:
            BrowserError: no answer in time, or an error.
        """
        self._last += 1
        message = {"id": self._last, "method": method, "params": dict(parameters or {})}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except BrokenPipeError as error:
            raise BrowserError(f"the browser ended: {self.log()}") from error
        until = time.monotonic() + (limit_s or self._limit_s)
        while (answer := self._receive(method, until)).get("id") != self._last:
            pass
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def _receive(self, method: str, until: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise BrowserError(f"{method}: no answer in time: {self.log()}")
            data = os.read(self._from, 1 << 16)
            if not data:
                raise BrowserError(f"{method}: the browser ended: {self.log()}")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(message))

    def log(self) -> str:
        """The last of what the browser said."""
        return (self._profile / "log").read_text("utf-8", "replace")[-2000:]


class Page:
    """One tab."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def navigate(self, url: str) -> None:
        """Load an address and wait until its scripts have run."""
        done = self._browser.call("Page.navigate", {"url": url}, self._session)
        if "errorText" in done:
            raise BrowserError(f"{url}: {done['errorText']}")
        loaded = "document.readyState === 'complete' || new Promise(r => addEventListener('load', r))"
        self.evaluate(f"Promise.resolve({loaded}).then(() => true)")

    def evaluate(self, script: str, limit_s: float | None = None) -> Any:
        """The value of an expression; a promise is waited for. What JSON cannot say is None.

        Raises:
            BrowserError: it threw, or took too long.
        """
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        done = self._browser.call("Runtime.evaluate", asked, self._session, limit_s)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(str(details.get("exception", details).get("description", details)))
        return done["result"].get("value")

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", {"targetId": self._target})


class _Handler(http.server.BaseHTTPRequestHandler):
    html = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        body = self.html if self.path == "/" else b""
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(html: str) -> Iterator[str]:
    """The address of a page on this machine: cameras are given to secure origins only, and this is one."""
    handler = type("Handler", (_Handler,), {"html": html.encode()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
