"""Research: data, learning, baselines, metrics. It imports the product and is never imported by it."""

from streamfx.importing import keep_openvino_quiet

keep_openvino_quiet()
