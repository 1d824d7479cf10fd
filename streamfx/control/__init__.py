"""The daemon's control surface: gRPC, over a UNIX socket of the user's own or over TLS.

`rpc_adapter.py` is where calls come in and errors become statuses; the services beside it hold what each
method does; `server.py` puts them up. Nothing here touches a picture's way to the camera.
"""
