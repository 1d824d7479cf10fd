"""Pictures of the portrait for watchers: smaller, and as JPEG. Takes what is published, and nothing else."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from streamfx.frames import Rendered


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for the wire."""

    jpeg: bytes
    size: tuple[int, int]
    """(width, height) px."""


def encode(rendered: Rendered, max_side: int, quality: int) -> Picture:
    """A published picture as JPEG.

    Args:
        max_side: px; a larger picture is made smaller, its shape kept.
        quality: of the JPEG, 1 to 95.
    """
    image = Image.fromarray(rendered.rgb)
    if max(image.size) > max_side:
        scale = max_side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Picture(buffer.getvalue(), image.size)
