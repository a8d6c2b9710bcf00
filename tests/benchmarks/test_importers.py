"""Import a file of the size of Azure Functions 2021 (1,980,951 calls, 305 MB) in a process that
reports its seconds and its peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workloads.streams import stream

CALLS, FUNCTIONS, DAYS = 1_980_951, 424, 14

READER = """
import json, resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from workloads.importers import import_file
workload = import_file(Path(sys.argv[1]))
took = time.perf_counter() - begun
workload.write(Path(sys.argv[2]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"n": len(workload), "functions": len(workload.functions),
    "seconds": took, "peak_rss_bytes": peak}))
"""


@pytest.fixture
def calls(tmp_path: Path, benchmark: Any) -> Path:
    """Draw uniform arrivals of functions by Zipf's law, in the published columns."""
    count = CALLS // 100 if benchmark.disabled else CALLS
    draw = stream(1, "azure-2021")
    names = [f"{draw.bytes(32).hex()},{draw.bytes(32).hex()}" for _ in range(FUNCTIONS)]
    weights = 1 / np.arange(1, FUNCTIONS + 1)
    owners = draw.choice(FUNCTIONS, count, p=weights / weights.sum())
    owners[:FUNCTIONS] = np.arange(FUNCTIONS)
    ends = np.sort(draw.uniform(100, DAYS * 86_400, count))
    took = draw.exponential(1, count)
    path = tmp_path / "calls.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("app,func,end_timestamp,duration\n")
        for owner, end, duration in zip(owners, ends, took, strict=True):
            file.write(f"{names[owner]},{float(end)!r},{duration:.3f}\n")
    return path


def test_a_trace_of_two_million_calls(calls: Path, tmp_path: Path, benchmark: Any) -> None:
    command = [sys.executable, "-c", READER, str(calls), str(tmp_path / "calls.parquet")]

    def read() -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(read, rounds=1)
    benchmark.extra_info.update(found, file_bytes=calls.stat().st_size)
    assert found["functions"] == FUNCTIONS
    assert found["n"] >= CALLS // 100
