"""A photo that moves as somebody in a video does: python examples/film.py me.jpg talk.mp4 film.mp4"""

import sys

import streamfx

photo, driver, film = sys.argv[1:4]
pictures = streamfx.animate(photo, driver, film)
print(f"{film}: {pictures} pictures")
