"""The processes below a process, as the kernel lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def tree(root: int) -> Iterator[int]:
    """Yield the process id ``root`` and those of its descendants."""
    yield root
    try:
        tasks = os.listdir(f"/proc/{root}/task")
        lists = [Path(f"/proc/{root}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return
    for text in lists:
        for child in text.split():
            yield from tree(int(child))
