"""What processes log, to standard error: a line per event, of a storm one a second."""

from __future__ import annotations

import json
import logging
import re
import sys
from time import monotonic
from typing import Final

_EVERY_S: Final = 1.0
_AT_ONCE: Final = 5
"""Equal lines that pass before they are a storm: a person may press a key twice."""
_REMEMBERED: Final = 256
"""Different lines; of more at a time none is held back."""
_NUMBERS: Final = re.compile(r"\d+")


class Seldom(logging.Filter):
    """Lets some equal lines pass, and of more one a second. Numbers in them make no difference."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, str], tuple[float, float, int]] = {}
        """By logger and line: when it came last, how many may pass at once, and how many were held back."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes; with how many did not before it."""
        line, now_s = record.getMessage(), monotonic()
        key = (record.name, _NUMBERS.sub("#", line))
        came_s, room, held = self._told.get(key, (now_s, _AT_ONCE, 0))
        room = min(_AT_ONCE, room + (now_s - came_s) / _EVERY_S)
        if room < 1:
            self._told[key] = (now_s, room, held + 1)
            return False
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[key] = (now_s, room - 1, 0)
        if held:
            record.msg, record.args = f"{line} ({held} more like it)", ()
        return True


def log_to_stderr(level: int = logging.WARNING, *, as_json: bool = False) -> None:
    """Let this process tell what its modules log, with wall-clock time."""
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    logger = logging.getLogger("streamfx")
    logger.handlers[:] = [_handler(_JsonLines() if as_json else text)]
    logger.setLevel(level)


def log_as(name: str) -> None:
    """Let this process, a child of the daemon, tell what any module logs, under its name."""
    root = logging.getLogger()
    root.handlers[:] = [_handler(logging.Formatter(f"{name}: %(levelname)s %(message)s"))]
    root.setLevel(logging.INFO)


def _handler(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(Seldom())
    return handler


class _JsonLines(logging.Formatter):
    """One JSON object a line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts, ensure_ascii=False)
