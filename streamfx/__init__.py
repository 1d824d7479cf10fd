"""streamfx: one photo, animated by your own face, as a camera."""

import os
import sys

# An idle OpenBLAS thread spins after any matmul and halves the speed of everything else on two cores.
# It is read when numpy is first imported, hence here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Importing OpenVINO (or NNCF) reports to Intel over the network, and leaves an identifier in the home folder,
# unless this package of theirs is absent, which both allow for. None marks it as absent.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__version__ = "0.1.0"
