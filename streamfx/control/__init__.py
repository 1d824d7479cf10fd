"""The daemon's control surface: gRPC, over a UNIX socket of the user's own or over TLS.

`binding.py` is where calls come in and where errors become statuses; the services beside it hold what each
method does; `server.py` puts them up. Nothing here touches a picture's way to the camera.
"""

import os

# Before gRPC is imported, which reads it then: what its C core logs is no line for people, who get our error.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
