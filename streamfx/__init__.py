"""streamfx: one photo, animated by your own face, as a camera."""

__version__ = "0.1.0"
