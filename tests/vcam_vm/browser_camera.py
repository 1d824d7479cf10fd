"""Chromium looks at the camera: a page of ours opens it with getUserMedia and reports what it sees."""

from __future__ import annotations

import http.server
import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
PAGE = Path(__file__).with_name("page.html")
_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
]
"""The camera is real; only the question whether the page may use it is answered for the person."""


def watch(seconds: float, patience_s: float) -> dict[str, Any]:
    """What the page saw in so many seconds: listed, label, width, height, fps, bars, numbers."""
    reports: list[dict[str, Any]] = []
    done = threading.Event()

    class Server(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if self.path == "/":
                self.wfile.write(PAGE.read_bytes().replace(b"SECONDS", str(seconds).encode()))

        def do_POST(self) -> None:
            reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        command = [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            done.wait(patience_s)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
    assert reports, f"the page did not report within {patience_s:g} s"
    assert "error" not in reports[0], reports[0]
    return reports[0]
