"""What processes log, to standard error: a line per event, of a storm of the same one a second."""

from __future__ import annotations

import json
import logging
import re
import sys
from time import monotonic
from typing import Final

_EVERY_S: Final = 1.0
_REMEMBERED: Final = 256
"""Different lines; of more at a time none is held back."""
_NUMBERS: Final = re.compile(r"\d+")


class Seldom(logging.Filter):
    """Lets a line pass once a second. Lines that differ in their numbers only are the same."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        """By logger and line: when it passed last, and how many were held back since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes; with how many did not before it."""
        line, now_s = record.getMessage(), monotonic()
        key = (record.name, _NUMBERS.sub("#", line))
        passed_s, held = self._told.get(key, (now_s - _EVERY_S, 0))
        if now_s - passed_s < _EVERY_S:
            self._told[key] = (passed_s, held + 1)
            return False
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[key] = (now_s, 0)
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
