"""streamfx: one photo, animated by your own face, as a camera.

    import streamfx

    streamfx.animate("me.jpg", "talk.mp4", "film.mp4")

    portrait = streamfx.load_portrait("me.jpg")
    animator = streamfx.animator(portrait)
    with streamfx.open_driver("talk.mp4") as driver:
        for motion in driver.motions():
            picture = animator.animate(motion).rgb  # u8 [480,640,3]

Nothing heavy is imported before the first of these is used (library.py; their types are in __init__.pyi).
`streamfx.client` controls a daemon, and imports none of it.
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = [
    "Animator",
    "Portrait",
    "VirtualCamera",
    "__version__",
    "animate",
    "animator",
    "load_portrait",
    "open_camera",
    "open_driver",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'streamfx' has no attribute {name!r}")
    found: object = getattr(import_module("streamfx.library"), name)
    return found
