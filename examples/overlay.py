"""The person without a background, over a slide: python examples/overlay.py me.jpg talk.mp4 slide.png out.png

Pictures have alpha in cut-out mode; their colours are premultiplied.
"""

import sys

import numpy as np
from PIL import Image

import streamfx

photo, driver_name, slide_name, out = sys.argv[1:5]

SIZE = (640, 480)
slide = np.asarray(Image.open(slide_name).convert("RGB").resize(SIZE))
animator = streamfx.animator(streamfx.load_portrait(photo, SIZE), mode="cutout")
with streamfx.open_driver(driver_name, duration_s=1) as driver:
    for motion in driver.motions():
        person = animator.animate(motion)
behind = (255 - person.alpha.astype(np.uint16))[..., None]
Image.fromarray((person.rgb + slide * behind // 255).clip(0, 255).astype(np.uint8)).save(out)
print(f"{out}: the last picture, over {slide_name}")
