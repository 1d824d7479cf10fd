"""The types of what __init__.py imports when it is first used."""

from streamfx.library import Animator as Animator
from streamfx.library import Portrait as Portrait
from streamfx.library import VirtualCamera as VirtualCamera
from streamfx.library import animate as animate
from streamfx.library import animator as animator
from streamfx.library import load_portrait as load_portrait
from streamfx.library import open_camera as open_camera
from streamfx.library import open_driver as open_driver

__version__: str
