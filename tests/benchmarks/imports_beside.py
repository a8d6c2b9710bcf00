"""Measure the imports of a new process beside others that import too, which share the host's caches
and memory.

    python -m tests.benchmarks.imports_beside RESULT.json [PROCESSES…]

RESULT.json has, for each number of processes (1, 2, 4, 8), the median seconds of a process's
imports; ``beside``, what each other process adds as a fraction of the time alone, is
``core_beside`` of a device profile whose cores do nothing but start processes. The first imports,
which read the files from the disk, are left out.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from systems.runtime.process import environment

NUMBERS, ROUNDS = (1, 2, 4, 8), 3
PROGRAM = """
import sys, time
sys.stdin.readline()
began = time.monotonic()
import systems.engine.libraries
from systems.engine.cuda import pre_import
pre_import.load()
print(time.monotonic() - began)
"""


def import_together(number: int) -> list[float]:
    """Return the seconds that each of ``number`` processes takes that import at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment()},
        )
        for _ in range(number)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in processes]


def measure(numbers: tuple[int, ...]) -> dict[int, float]:
    """Return the median seconds by the number of processes."""
    import_together(1)
    return {
        number: statistics.median(
            seconds for _ in range(ROUNDS) for seconds in import_together(number)
        )
        for number in numbers
    }


def beside(seconds: dict[int, float]) -> float:
    """Return what each other process adds, as a fraction of the time alone: the mean."""
    alone = seconds[1]
    return statistics.mean((s / alone - 1) / (n - 1) for n, s in seconds.items() if n > 1)


def main() -> None:
    numbers = tuple(map(int, sys.argv[2:])) or NUMBERS
    seconds = measure(numbers)
    result = {"seconds": seconds, "beside": beside(seconds)}
    print(json.dumps(result))
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
