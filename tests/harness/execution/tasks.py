"""Tasks for worker processes, in a module that imports little."""

from __future__ import annotations

import os

from harness.errors import HarnessError


def fails_at_three(number: int) -> int:
    if number == 3:
        raise HarnessError("three")
    return os.getpid()


def threads_of_libraries(_: int) -> int:
    import pyarrow as pa

    return pa.cpu_count()
