"""A portrait that nods, driven by numbers in place of a webcam: python examples/remote.py me 5

The first word is a portrait's identifier (streamfx ctl portraits list). Needs a daemon: streamfx serve
"""

import math
import sys
import time
from collections.abc import Iterator

from streamfx.client import Client, MotionNumbers, SessionSettings

portrait, seconds = sys.argv[1], float(sys.argv[2])


def nods() -> Iterator[MotionNumbers]:
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        yield MotionNumbers(rotation=(0.15 * math.sin(3 * now), 0.0, 0.0), captured_ns=time.monotonic_ns())
        time.sleep(1 / 30)


with Client.connect() as client:
    session = client.create_session(SessionSettings(portraits=(portrait,), source="remote"))
    try:
        print(f"{client.drive(session.id, nods())} motions were taken")
    finally:
        client.delete_session(session.id)
