"""Sessions: a portrait, what drives it and the camera that shows it, kept alive whatever dies.

This runs in the daemon: nothing here imports a decoder, a tracker, a renderer or a network.
"""
