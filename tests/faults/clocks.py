"""Step the wall clock by an hour, forward and back, for the processes that a campaign starts.

Stepping the machine's clock would disturb other programs, and Linux has no namespace for the wall
clock. So a preloaded library (``wall_clock.c``) steps it for these processes, including the
kernel's timestamps on data received from a socket."""

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
    """The wall clock of all processes that are started after this object was made."""

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
        """Step by ``by_ns``. Write the old offset and the time of the step before the new offset,
        so that no reader mixes the two."""
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
