"""Find out which tests call which functions, by a run of all of them without a mutant."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import suite

Line = Mapping[str, Any]


class SuiteFailsError(Exception):
    """More than a tenth of the tests fail without a mutant."""


@dataclass(frozen=True)
class Reached:
    """Tests by function, and the seconds that each takes. Tests that failed are left out."""

    seconds: Mapping[str, float]
    tests: Mapping[str, tuple[str, ...]]
    failed: tuple[str, ...]

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Reached:
        """Raise SuiteFailsError if the tests say nothing about a mutant."""
        ordered = sorted(lines, key=lambda line: line["seconds"])
        passed = [line for line in ordered if line["passed"]]
        failed = sorted(line["test"] for line in ordered if not line["passed"])
        if 10 * len(failed) >= len(passed):
            names = ", ".join(failed[:3])
            raise SuiteFailsError(f"{len(failed)} tests fail without a mutant: {names}")
        tests: defaultdict[str, list[str]] = defaultdict(list)
        for line in passed:
            for function in line["functions"]:
                tests[function].append(line["test"])
        seconds = {line["test"]: line["seconds"] for line in passed}
        return cls(seconds, {name: tuple(each) for name, each in tests.items()}, tuple(failed))

    def by(self, mutant: str) -> tuple[str, ...]:
        """Return the tests that call the mutant's function, the shortest first."""
        return self.tests.get(mutant.partition("__mutmut_")[0], ())


def measure(project: Path, workers: int) -> Reached:
    options, selection = suite.settings(project)
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        lines.mkdir()
        options += ["-p", "tests.faults.mutation.calls", "-n", str(workers), "--maxschedchunk=1"]
        subprocess.run(
            suite.command(options, selection, Path(folder) / "tests"),
            cwd=project, env=suite.environment(project, "stats", **{suite.CALLS: str(lines)}),
            stdout=sys.stderr, check=False,
        )  # fmt: skip
        texts = [path.read_text(encoding="utf-8") for path in lines.iterdir()]
    return Reached.of(json.loads(line) for text in texts for line in text.splitlines())
