"""pytest plugin: write which mutated functions each test calls, as lines of JSON.

Runs with ``MUTANT_UNDER_TEST=stats``, in which mutmut notes each function that is called. The file
is ``$MUTATION_CALLS/<process id>.jsonl``: with pytest-xdist, each worker writes one.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from mutmut.configuration import config
from mutmut.state import state

from .suite import CALLS


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Calls(Path(os.environ[CALLS]) / f"{os.getpid()}.jsonl"))


class Calls:
    def __init__(self, path: Path) -> None:
        config()  # Reads pyproject.toml of this folder, which a test may leave later.
        self._path = path
        self._of_modules: defaultdict[str, set[str]] = defaultdict(set)
        self._passed = True

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        """Note what the import of a test module calls: each of its tests depends on it."""
        report = yield
        self._of_modules[collector.nodeid] |= _taken()
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        began, self._passed = time.perf_counter(), True
        result = yield
        functions = _taken() | self._of_modules[item.nodeid.partition("::")[0]]
        line = {
            "test": item.nodeid,
            "seconds": time.perf_counter() - began,
            "passed": self._passed,
            "functions": sorted(functions),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        self._passed &= not report.failed
        return report


def _taken() -> set[str]:
    """Return the functions called since this was called last."""
    taken = set(state()._stats)
    state()._stats.clear()
    return taken
