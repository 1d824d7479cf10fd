"""A virtual camera that shows your portrait for a while: python examples/live_camera.py me.jpg 60

Needs a daemon: streamfx serve
"""

import sys

from streamfx.client import Client, SessionSettings

photo, seconds = sys.argv[1], float(sys.argv[2])

with Client.connect() as client:
    portrait = client.create_portrait(photo, name="me")
    session = client.create_session(SessionSettings(portraits=(portrait.id,), source="auto"))
    try:
        for number, status in enumerate(client.watch(session.id, interval_s=1.0)):
            print(
                f"{status.state}, {status.fps:.1f} pictures a second on {status.camera.name or 'no camera'}"
            )
            if number >= seconds:
                break
    finally:
        client.delete_session(session.id)
        client.delete_portrait(portrait.id)
