"""The driver's management library, for a card that the scripted vLLMs share: each writes what it
holds into a file named by its pid. ``CARD_LISTS=1``: the driver lists the processes, as outside of
a container."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

CARD, LISTS = "SCRIPTED_CARD", "CARD_LISTS"
OTHERS = 500 << 20
"""Held by somebody else all the time."""


class NVMLError(Exception):
    pass


def nvmlInit() -> None:  # noqa: N802
    """The card is there."""


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    return index


def nvmlDeviceGetComputeRunningProcesses(handle: int) -> list[SimpleNamespace]:  # noqa: N802
    if not os.environ.get(LISTS):
        return []
    return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in _held().items()]


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(used=OTHERS + sum(_held().values()))


def _held() -> dict[int, int]:
    files = Path(os.environ[CARD]).glob("[0-9]*")
    return {int(f.name): int(f.read_text() or 0) for f in files if Path(f"/proc/{f.name}").exists()}
