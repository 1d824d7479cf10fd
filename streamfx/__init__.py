"""streamfx: one photo, animated by your own face, as a camera."""

import os

# An idle OpenBLAS thread spins after any matmul and halves the speed of everything else on two cores.
# It is read when numpy is first imported, hence here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
