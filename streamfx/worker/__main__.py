"""`python -m streamfx.worker`: the worker process. Standard input and output lead to the daemon."""

from __future__ import annotations

from typing import BinaryIO

from streamfx.files import refuse_links
from streamfx.ipc.child import child_main
from streamfx.worker.channel import Channel


def main(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve the daemon until it says stop or is gone."""
    refuse_links()
    from streamfx.worker.process import serve

    return serve(Channel(reader, writer))


if __name__ == "__main__":
    child_main("worker", main)
