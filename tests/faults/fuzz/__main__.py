"""Try ``--examples`` bad inputs of each kind, and write the counts of their outcomes."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import files, http, messages, runs, texts
from .tally import Tally

OF_FILES: Mapping[str, Callable[[int, int, Path], Tally]] = {
    "adapters": files.adapters,
    "checkpoints": files.checkpoints,
    "experiments": texts.experiments,
    "workloads": texts.workloads,
    "traces": texts.traces,
    "runs": runs.runs,
    "sweeps": runs.sweeps,
    "messages": messages.messages,
}
OF_ADDRESS: Mapping[str, Callable[[int, int, str], Tally]] = {
    "requests": http.documented,
    "bytes": http.raw,
}
KINDS = (*OF_FILES, *OF_ADDRESS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz.json"))
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    record: dict[str, Any] = {
        "seed": options.seed,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "kinds": [],
    }

    def keep(tally: Tally) -> None:
        record["kinds"].append(tally.as_dict())
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(tally.as_dict()), file=sys.stderr, flush=True)

    of_files = [OF_FILES[kind] for kind in options.kinds if kind in OF_FILES]
    of_address = [OF_ADDRESS[kind] for kind in options.kinds if kind in OF_ADDRESS]
    with tempfile.TemporaryDirectory() as folder:
        for try_files in of_files:
            keep(try_files(options.examples, options.seed, Path(folder)))
    if of_address:
        with http.platform() as url:
            for try_address in of_address:
                keep(try_address(options.examples, options.seed, url))
    return 1 if any(kind["problems"] for kind in record["kinds"]) else 0


if __name__ == "__main__":
    sys.exit(main())
