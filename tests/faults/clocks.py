"""The wall clock stepped by an hour, forth and back, under what a campaign starts.

Stepping the machine's own would hurt whatever else runs on it, and no namespace has a wall clock of
its own: a library is preloaded that steps it for these processes, kernel's stamps on what came over
a socket included (``wall_clock.c``)."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np

from .fault import Fault, Undo
from .stage import Stage

_SOURCE = Path(__file__).with_name("wall_clock.c")
_HOUR_NS = 3600 * 10**9
NAMES = {"the clock an hour forward": _HOUR_NS, "the clock an hour back": -_HOUR_NS}


class WallClock:
    """Of all processes that are started once it is there."""

    def __init__(self, folder: Path) -> None:
        library, steps = folder / "wall_clock.so", folder / "steps"
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        steps.write_bytes(bytes(24))
        with steps.open("r+b") as file:
            self._steps = mmap.mmap(file.fileno(), 24)
        os.environ.update(LD_PRELOAD=str(library), PYTHON_WALL_CLOCK=str(steps))
        self._offset_ns = 0

    def step(self, by_ns: int) -> None:
        """From now on. The offset before is told first, so that no reader mixes the two."""
        now_ns = time.time_ns()
        self._steps[8:16] = struct.pack("=q", self._offset_ns)
        self._steps[0:8] = struct.pack("=q", now_ns)
        self._offset_ns += by_ns
        self._steps[16:24] = struct.pack("=q", self._offset_ns)

    def fault(self, name: str, by_ns: int) -> Fault:
        async def inflict(stage: Stage, random: np.random.Generator) -> Undo:
            self.step(by_ns)
            return lambda: self.step(-by_ns)

        return Fault(name, inflict, frozenset(), 60, pause_s=1.5)


def compiler() -> bool:
    return shutil.which("cc") is not None


def faults(clock: WallClock) -> list[Fault]:
    return [clock.fault(name, by_ns) for name, by_ns in NAMES.items()]
