"""`python -m streamfx.worker`: the worker process. Standard input and output lead to the daemon."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from streamfx.files import refuse_links
from streamfx.ipc.child import die_with_parent
from streamfx.logs import log_as
from streamfx.worker.channel import Channel


def main() -> int:
    """Serve the daemon until it says stop or is gone."""
    die_with_parent()
    refuse_links()
    log_as("worker")
    channel = Channel(os.fdopen(0, "rb", closefd=False), take_stdout())
    from streamfx.worker.process import serve

    return serve(channel)


def take_stdout() -> BinaryIO:
    """The pipe to the daemon; whatever libraries print goes to standard error instead."""
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return writer


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a camera's driver or a tracker that hangs must not keep the process
