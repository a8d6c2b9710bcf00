"""Kernels of Triton's cache that were compiled into another folder.

Triton notes where the files of a kernel lie by absolute paths. So a cache that was copied or moved,
into a container's image for example, sends every process to the old folder: where that is still
there, a confined process may not read it, and no instance can start.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

_GROUP = "__grp__*.json"
"""The file of a kernel that names its others."""


def remove(cache: Path) -> bool:
    """Remove the kernels of ``cache`` whose files lie elsewhere, so that they are compiled again.
    Return whether there was any."""
    found = [entry for entry in cache.glob("*/") if _elsewhere(entry)]
    for entry in found:
        shutil.rmtree(entry, ignore_errors=True)
    return bool(found)


def _elsewhere(entry: Path) -> bool:
    return any(
        Path(path).parent.resolve() != entry.resolve()
        for group in entry.glob(_GROUP)
        for path in _named(group)
    )


def _named(group: Path) -> list[str]:
    """Return the paths in ``group``; none if it is damaged, which Triton notices by itself."""
    try:
        told: Any = json.loads(group.read_bytes())
        return [str(path) for path in told["child_paths"].values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
