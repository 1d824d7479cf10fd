"""What is logged: whole, as text or JSON; and of a storm of the same, one line a second."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamfx import logs
from streamfx.logs import Seldom, log_to_stderr


def test_logs_can_be_json_lines(capsys: pytest.CaptureFixture[str]):
    logger = logging.getLogger("streamfx")
    before = logger.handlers[:], logger.level
    try:
        log_to_stderr(as_json=True)
        logging.getLogger("streamfx.session.supervisor").warning("the worker %s", "ended\nhere")
        try:
            int("no number")
        except ValueError:
            logger.exception("a picture")
    finally:
        logger.handlers[:], level = before[0], before[1]
        logger.setLevel(level)
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["message"]) == ("warning", "the worker ended\nhere")
    assert first["from"] == "streamfx.session.supervisor"
    assert "ValueError" in second["traceback"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], list[float]]]:
    """What passes, and the clock."""
    now, lines = [100.0], []
    monkeypatch.setattr(logs, "monotonic", lambda: now[0])

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, logger = Keeps(), logging.getLogger("streamfx.storm")
    handler.addFilter(Seldom())
    logger.addHandler(handler)
    yield lines, now
    logger.removeHandler(handler)


def test_after_some_lines_a_storm_is_told_once_a_second_with_how_many_more_there_were(
    told: tuple[list[str], list[float]],
):
    lines, now = told
    for tick in range(300):
        logging.getLogger("streamfx.storm").warning("picture %d could not be published", tick)
        now[0] += 1 / 30
    assert len(lines) in (14, 15)
    assert lines[4] == "picture 4 could not be published"
    assert re.search(r"could not be published \((29|30) more like it\)", lines[6])


def test_other_causes_are_told_meanwhile_and_nothing_grows(told: tuple[list[str], list[float]]):
    lines, _ = told
    log = logging.getLogger("streamfx.storm").warning
    for cause in (*["the worker ended"] * 9, "the publisher ended", "the worker ended", "100 % is no format"):
        log(cause)
    assert lines == [*["the worker ended"] * 5, "the publisher ended", "100 % is no format"]
    for number in range(5000):
        log("a name that somebody else chose: %s", "x" * number)
    assert len(lines) == 5007, "what differs is told"
    handler = logging.getLogger("streamfx.storm").handlers[0]
    assert len(handler.filters[0]._told) <= logs._REMEMBERED


@pytest.mark.parametrize("name", ["worker", "publisher"])
def test_a_child_of_the_daemon_logs_so_too(name: str):
    program = (
        f"import logging; from streamfx.logs import log_as; log_as({name!r});"
        "[logging.getLogger('other').error('it failed %d times', n) for n in range(1000)]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[0] == f"{name}: ERROR it failed 0 times"
    assert len(done.stderr.splitlines()) <= 6
