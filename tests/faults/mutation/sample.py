"""Draw a sample, try it on all cores until a deadline, and keep each outcome as it is known."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .reached import Reached
from .trial import NO_TEST, SURVIVED, UNTRIED, Trial


def drawn(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Draw ``count`` names; a larger sample of the same seed begins with the smaller one."""
    order = sorted(names)
    random.Random(seed).shuffle(order)
    return order[:count]


def trials(sample: Sequence[str], reached: Reached) -> list[Trial]:
    found = []
    for mutant in sample:
        tests = reached.by(mutant)
        seconds = [reached.seconds[test] for test in tests]
        found.append(Trial(mutant, tests, sum(seconds), max(seconds, default=0.0)))
    return found


class Kept:
    """Outcomes by mutant in a file of JSON lines, so that an interrupted run continues."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.outcomes: dict[str, str] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self.outcomes |= json.loads(line)

    def keep(self, mutant: str, outcome: str) -> None:
        self.outcomes[mutant] = outcome
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({mutant: outcome}) + "\n")


def attempt(
    todo: Sequence[Trial], run: Callable[[Trial], str], workers: int, last_start: float
) -> Iterator[tuple[str, str]]:
    """Yield mutants and outcomes as they are known.

    Trials start in the order of the sample, none after ``last_start`` (time.monotonic): those that
    were started are a random sample themselves, whatever their tests take.
    """

    def in_time(trial: Trial) -> str:
        return run(trial) if time.monotonic() < last_start else UNTRIED

    with ThreadPoolExecutor(workers) as pool:
        started = {pool.submit(in_time, trial): trial.mutant for trial in todo}
        for done in as_completed(started):
            yield started[done], done.result()


def record(sample: Sequence[str], kept: Kept, mutants: int, seed: int) -> dict[str, Any]:
    by_mutant = {name: kept.outcomes.get(name, UNTRIED) for name in sample}
    return {
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "mutants": mutants,
        "sample": len(sample),
        **Counter(by_mutant.values()),
        "survivors": sorted(name for name, how in by_mutant.items() if how == SURVIVED),
        "of_no_test": sorted(name for name, how in by_mutant.items() if how == NO_TEST),
    }
