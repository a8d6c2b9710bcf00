"""Where Triton stores compiled kernels for this user."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    home = os.environ.get("TRITON_HOME") or Path.home()
    return Path(os.environ.get("TRITON_CACHE_DIR") or Path(home) / ".triton" / "cache")
