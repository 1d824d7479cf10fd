"""The script `streamfx`: before anything is imported, what may be imported is said.

With `PYTHONPATH=$PYTHONPATH:` in a profile the current folder stands before Python's own modules.
"""

import sys

from streamfx.importing import installed_path

sys.path[:] = installed_path()  # nor the script's folder, where the account's other scripts are

from streamfx.__main__ import main  # noqa: E402

__all__ = ["main"]
