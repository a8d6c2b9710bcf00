"""``python -m harness.calibration.sleeper``: sleeps 5 ms at a time until its input ends, then
prints each delay in nanoseconds. Runs at normal priority, so the delays show the machine's noise.
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
    late = []
    while True:
        due_ns = time.monotonic_ns() + _SLEEP_NS
        if select.select([sys.stdin], [], [], _SLEEP_NS / 1e9)[0]:
            break
        late.append(time.monotonic_ns() - due_ns)
    with contextlib.suppress(BrokenPipeError):  # who started it was killed
        os.write(sys.stdout.fileno(), json.dumps(late).encode())


if __name__ == "__main__":
    main()
