"""python -m tests.gpu.confinement [measures] [trace] [facts] [trials] [--device cpu]

measures: which measures hold, all together and each alone. trace: the system calls and files of a
process on the card, by phase, and which of them the sandbox refuses. facts: control groups, device
memory by process as the driver counts it, a copy that is mapped again. trials: which rules and
calls the driver needs; run with measures if those do not hold together. Without a name: all.
"""

from __future__ import annotations

import os
import sys
import time

from systems.runtime import process


def main() -> None:
    device = "cpu" if "cpu" in sys.argv else "cuda"
    if os.environ.get("SLBENCH_PROBE") != "1":
        # As the platform starts its template: no allocator may start a thread.
        told = process.environment() | {"SLBENCH_PROBE": "1"}
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.gpu.confinement", *sys.argv[1:]], told
        )
    start = time.monotonic()
    process.import_libraries(device)
    from . import report

    chosen = [name for name in report.PARTS if name in sys.argv] or list(report.PARTS)
    for name in chosen:
        print(f"== {name} ({time.monotonic() - start:.1f} s)", flush=True)
        report.PARTS[name](device)
    print(f"== end ({time.monotonic() - start:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
