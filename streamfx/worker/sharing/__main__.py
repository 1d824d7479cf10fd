"""`python -m streamfx.worker.sharing N`: the process that draws for all sessions on a card.

N: descriptor of the listening socket, inherited. A line on standard output for each sign of life: the seconds
for which the daemon may wait for the next.
"""

from __future__ import annotations

import logging
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from streamfx.errors import DeviceLost
from streamfx.ipc.child import child_main
from streamfx.worker.sharing.wire import OPENING_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamfx.render.gpu.gpu_device import GpuDevice

_log = logging.getLogger(__name__)


def main(listener: socket.socket, out: BinaryIO, make_gpu: Callable[[], GpuDevice] | None = None) -> int:
    """Serve until the daemon is gone, or the card fails; the exit code.

    Args:
        listener: at which workers connect.
        out: gets the signs of life.
        make_gpu: None takes the card; measurements rehearse on the CPU.
    """

    def beat(patience_s: float) -> None:
        out.write(f"{patience_s}\n".encode())
        out.flush()

    beat(OPENING_S)
    from streamfx.render.gpu.gpu_device import GpuDevice  # torch takes seconds to import
    from streamfx.rendering import check_renderer
    from streamfx.worker.sharing.server import CardServer

    try:
        CardServer(listener, make_gpu or partial(GpuDevice, check_renderer, tell=_log.info), beat).run()
    except DeviceLost as error:
        _log.error("%s", error)
    except BrokenPipeError:  # the daemon is gone
        return 0
    return 1


if __name__ == "__main__":
    child_main("card", lambda _, writer: main(socket.socket(fileno=int(sys.argv[1])), writer))
