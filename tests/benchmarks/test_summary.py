"""Read a million requests and four million spans from Parquet and summarise them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.records import new_run, write_cell
from tests.harness.made import SOUND, manifest, tables
from tests.harness.many import many_requests, spans_of

REQUESTS_N = 1_000_000

READER = """
import json, resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from harness.metrics import summary
from harness.records import read_cell
cell = read_cell(Path(sys.argv[1]))
tables = {name: cell.table(name) for name in ("requests", "spans", "memory", "billing")}
found = summary(tables, cell.summary["duration_s"])
took = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"n": found["n"], "p99": found["ttft_s"]["p99"], "ci95":
    found["ttft_s"]["ci95"]["p99"], "seconds": took, "peak_rss_bytes": peak}))
"""


@pytest.fixture
def cell(tmp_path: Path, benchmark: Any) -> Path:
    requests = many_requests(REQUESTS_N // 100 if benchmark.disabled else REQUESTS_N)
    content = {**tables(), "requests": requests, "spans": spans_of(requests)}
    run = new_run({"name": "made"}, tmp_path)
    duration_s = max(requests["end_ns"].to_numpy()) / 1e9
    path = run.path / "made" / "made" / "0"
    write_cell(path, manifest(run, "made"), content, SOUND | {"duration_s": float(duration_s)})
    return path


def test_a_million_requests(benchmark: Any, cell: Path) -> None:
    """Use a separate process, so that its peak memory is that of reading and summarising only."""

    def read() -> dict[str, Any]:
        command = [sys.executable, "-c", READER, str(cell)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    found = benchmark.pedantic(read, rounds=3)
    benchmark.extra_info.update(found)
    low, high = found["ci95"]
    assert low < found["p99"] < high
