"""Every picture as an array, to do with as you like: python examples/frame_by_frame.py me.jpg talk.mp4

Here: how much of the picture changes from one frame to the next.
"""

import sys

import numpy as np

import streamfx

photo, driver_name = sys.argv[1:3]

portrait = streamfx.load_portrait(photo, size=(640, 480))
for finding in portrait.findings:
    print(f"note: {finding}")

animator = streamfx.animator(portrait)
last = None
with streamfx.open_driver(driver_name, duration_s=2) as driver:
    for number, motion in enumerate(driver.motions()):
        rendered = animator.animate(motion)
        rgb = rendered.rgb.astype(np.int16)  # [480,640,3]
        if last is not None:
            print(f"{number:4} {rendered.quality}: {np.abs(rgb - last).mean():.2f} grey levels of change")
        last = rgb
