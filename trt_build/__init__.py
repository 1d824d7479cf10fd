"""Compiling the networks for NVIDIA GPUs, ahead of time: `python -m trt_build` (docs/gpu.md).

It imports the product; the product never imports it. What it makes is kept by streamfx.models.engines.
"""
