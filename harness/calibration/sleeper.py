"""A program: prints a line when it begins, sleeps 5 ms at a time, at least once, until its input
ends, then prints each delay in nanoseconds. Runs at normal priority, so the delays show the
machine's noise. It imports nothing of the suite, which would take longer than a measurement.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time

_SLEEP_NS = 5_000_000


def main() -> None:
    with contextlib.suppress(BrokenPipeError):  # who started it was killed
        os.write(sys.stdout.fileno(), b"\n")
        late = [_late_ns()]
        while not select.select([sys.stdin], [], [], 0)[0]:
            late.append(_late_ns())
        os.write(sys.stdout.fileno(), json.dumps(late).encode())


def _late_ns() -> int:
    due_ns = time.monotonic_ns() + _SLEEP_NS
    time.sleep(_SLEEP_NS / 1e9)
    return time.monotonic_ns() - due_ns


if __name__ == "__main__":
    main()
