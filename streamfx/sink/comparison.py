"""A film with the driver beside the result: the one explicit way in which a driver's picture enters a file.

For judging by eye, offline, from video files. Only `streamfx render --compare` may import this (an import
contract says so); no live path can.
"""

from __future__ import annotations

import numpy as np

from streamfx.errors import OutputError
from streamfx.frames import Frame, Rendered
from streamfx.sink.panel import fitted
from streamfx.sink.writer import PictureWriter


class Comparison:
    """Pairs of pictures, the driver's left, the result right.

    Args:
        film: takes them; of double width.
        size: width and height of one half, in px, both even.
    """

    def __init__(self, film: PictureWriter, size: tuple[int, int]) -> None:
        self._film, self._half = film, size

    def write_pair(self, rendered: Rendered, driver: Frame) -> None:
        """Append the result and the driver's picture of the same moment.

        Raises:
            OutputError: the result has another size than the film's half, or the file cannot be written.
        """
        height, width = rendered.rgb.shape[:2]
        if (width, height) != self._half:
            half = "{}x{}".format(*self._half)
            cause = f"Picture {self._film.frames} is {width}x{height} px beside {half}"
            raise OutputError(cause, "Render in one size")
        self._film._append(np.hstack([fitted(driver.rgb, self._half), rendered.rgb]))
