"""What the program knows beforehand: fetched models, checked by hash, and the shipped expression basis."""

from streamfx.importing import keep_openvino_quiet

keep_openvino_quiet()
