"""From trained weights to the files that ship: safetensors, ONNX and OpenVINO int8, each held to the network.

python -m streamfx.lab.export NAME WEIGHTS.safetensors --samples FILE.npz -o streamfx/models/weights
"""
