"""Try a sample of mutants, and write how many were killed and which survived.

Run by the interpreter of an environment with mutmut and the project's own packages (``make
mutate``). A run of the same code continues one that was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from . import mutants, reached, sample, trial

KEPT = Path("build/mutation")


def main() -> int:
    options = _options()
    began = time.monotonic()
    names = mutants.write(options.workers)
    _say(f"{len(names)} mutants written")
    tests = reached.measure(mutants.FOLDER, options.workers)
    _say(f"{len(tests.seconds)} tests passed, {len(tests.failed)} failed without a mutant")
    drawn = sample.drawn(names, options.sample, options.seed)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = sample.Kept(KEPT / f"{mutants.digest()}.jsonl")
    todo = [each for each in sample.trials(drawn, tests) if each.mutant not in kept.outcomes]
    until = began + options.deadline
    run = partial(trial.run, mutants.FOLDER, until=until)
    last_start = until - max((each.seconds for each in todo), default=0.0)
    for mutant, outcome in sample.attempt(todo, run, options.workers, last_start):
        if outcome != trial.UNTRIED:
            kept.keep(mutant, outcome)
            _say(f"{len(kept.outcomes)}: {mutant} {outcome}")
    found = {**sample.record(drawn, kept, len(names), options.seed), "left_out": tests.failed}
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    options.diffs.write_text(mutants.diffs(found["survivors"]), encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=120)
    parser.add_argument("--seed", type=int, default=29)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--deadline", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--out", type=Path, default=Path("mutation.json"))
    parser.add_argument("--diffs", type=Path, default=KEPT / "survivors.diff")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
