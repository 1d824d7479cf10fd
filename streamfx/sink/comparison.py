"""A film with the driver beside the result: the one explicit way in which a driver's picture enters a file.

For judging by eye, offline, from video files. Only `streamfx render --compare` may import this (an import
contract says so); no live path can.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from streamfx.errors import OutputError
from streamfx.frames import Frame, Rendered
from streamfx.sink.film import FilmWriter
from streamfx.sink.panel import fitted
from streamfx.sink.sound import Sound


class ComparisonFilm(FilmWriter):
    """Pairs of pictures, the driver's left, the result right, in a film of double width.

    Args:
        path, fps, sound: as of a FilmWriter.
        size: width and height of one half, in px, both even.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: Fraction | float, *, sound: Sound | None = None
    ) -> None:
        self._half = size
        super().__init__(path, (2 * size[0], size[1]), fps, sound=sound)

    def write_pair(self, rendered: Rendered, driver: Frame) -> None:
        """Append the result and the driver's picture of the same moment.

        Raises:
            OutputError: the result has another size than the film's half, or the file cannot be written.
        """
        height, width = rendered.rgb.shape[:2]
        if (width, height) != self._half:
            half = "{}x{}".format(*self._half)
            raise OutputError(
                f"Picture {self.frames} is {width}x{height} px beside {half}", "Render in one size"
            )
        self._append(np.hstack([fitted(driver.rgb, self._half), rendered.rgb]))
