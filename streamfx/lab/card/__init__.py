"""What an NVIDIA card does with this renderer: `python -m streamfx.lab.card` (scripts/check-cuda).

Per size: whole frames, by each way to run the networks, beside the CPU's renderer (frames.py); what two other
divisions of work between card and CPU would take (parts.py). Then memory over thousands of frames, to the
byte, and how many sessions of 30 frames a second one card carries (sessions.py).
"""
