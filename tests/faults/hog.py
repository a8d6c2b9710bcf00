"""A process that takes all free memory of a device when told to, and holds it until told to stop:
``python -m tests.faults.hog DEVICE MOST_BYTES``.

Prints a line when it is ready, another when nothing is left. It takes plain allocations only."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .fault import Inflict, MissedError, Undo
from .stage import Stage

_SMALLEST = 2 << 20


class Hog:
    """Takes the memory of a device, at most ``most_bytes``, from ``take`` to ``end``. It is started
    before: its own start takes seconds."""

    def __init__(self, device: str, most_bytes: int = 1 << 50) -> None:
        command = [sys.executable, "-m", "tests.faults.hog", device, str(most_bytes)]
        # Torch would take up to 20 MiB for the smallest allocation.
        environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._heard()

    def take(self) -> int:
        """Return how many bytes it holds, once nothing is left."""
        self._say("take\n")
        return int(self._heard())

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the process that takes the device's memory has ended")
        return line


class FullDevice:
    """The fault: another process takes what is free, as soon as ``target`` finds a process."""

    def __init__(self, target: Callable[[Stage], Any], most_bytes: int = 1 << 50) -> None:
        self._target, self._most_bytes = target, most_bytes
        self._hog: Hog | None = None

    def prepare(self, stage: Stage) -> Undo:
        self._hog = Hog(stage.target.device, self._most_bytes)
        return self._hog.end

    def inflict(self) -> Inflict:
        async def inflict(stage: Stage, random: np.random.Generator) -> Undo:
            if not self._target(stage):
                raise MissedError("nothing starts yet")
            assert self._hog is not None, "prepare() has started it"
            await asyncio.to_thread(self._hog.take)  # the load goes on meanwhile
            return self._hog.end

        return inflict


def _allocate(device: str) -> Callable[[int], Any]:
    """Return a function that allocates bytes, and raises RuntimeError if there are too few."""
    if device.startswith("cpu"):
        return lambda size: b"\1" * size
    import torch

    torch.zeros(1, device=device)  # starts the context
    return lambda size: torch.empty(size, dtype=torch.uint8, device=device)


def _fill(allocate: Callable[[int], Any], most_bytes: int) -> list[Any]:
    held, size, left = [], 16 << 30, most_bytes
    while size >= _SMALLEST:
        try:
            while left >= size:
                held.append(allocate(size))
                left -= size
        except (RuntimeError, MemoryError):
            pass
        size >>= 1
    return held


def main(device: str, most_bytes: int) -> None:
    allocate = _allocate(device)
    print("ready", flush=True)
    sys.stdin.readline()
    held = _fill(allocate, most_bytes)
    print(sum(map(len, held)), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
