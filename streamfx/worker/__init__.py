"""The worker: the process that owns cameras, decoders, the tracker and the renderer. It may die at any time.

`protocol` and `channel` are what the daemon shares with it; the rest runs in the worker alone.
"""
