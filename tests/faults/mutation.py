"""Mutation: ``make mutate`` plants bugs and counts those that no test notices.

Run by the interpreter of an environment with mutmut and the project's own packages. mutmut makes
every mutant of the modules in ``[tool.mutmut]`` of pyproject.toml; a sample of them, drawn from
``--seed``, is tried against the tests named there. An interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MUTANTS = Path("mutants")
_GENERATE = "no mutant has this name"
_UNTOLD = "not tried"
OUTCOMES = {0: "survived", 1: "killed", 3: "killed", 33: "in no test", None: _UNTOLD}
"""By exit status of the tests, as mutmut keeps it; any other status is that of a test process that
did not end by itself."""
HUNG = "hung or died"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/faults/mutation.py", description=__doc__)
    parser.add_argument("--sample", type=int, default=120)
    parser.add_argument("--seed", type=int, default=27)
    parser.add_argument("--out", type=Path, default=Path("mutation.json"))
    options = parser.parse_args()
    mutmut = Path(sys.executable).with_name("mutmut")
    if not MUTANTS.exists():
        # It makes every mutant, and times the tests, before it finds that none has this name.
        subprocess.run([mutmut, "run", _GENERATE], check=False, stderr=subprocess.DEVNULL)
    sample = drawn(sorted(statuses()), options.sample, options.seed)
    subprocess.run([mutmut, "run", "--max-children", "1", *sample], check=False)
    record = told(sample, options.seed)
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    return 0


def statuses(folder: Path = MUTANTS) -> dict[str, int | None]:
    """Return the exit status of the tests by mutant; None if it was not tried."""
    found: dict[str, int | None] = {}
    for path in folder.rglob("*.meta"):
        found |= json.loads(path.read_bytes())["exit_code_by_key"]
    return found


def drawn(names: list[str], count: int, seed: int) -> list[str]:
    return random.Random(seed).sample(names, min(count, len(names)))


def told(sample: list[str], seed: int, folder: Path = MUTANTS) -> dict[str, Any]:
    known = statuses(folder)
    by_outcome = {name: OUTCOMES.get(known[name], HUNG) for name in sample}
    return {
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "mutants": len(known),
        "sample": len(sample),
        **Counter(by_outcome.values()),
        "survivors": sorted(name for name, how in by_outcome.items() if how == "survived"),
    }


if __name__ == "__main__":
    sys.exit(main())
