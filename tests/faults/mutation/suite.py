"""Run the tests on the mutants' copy of the project."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from . import first_failure

CALLS = "MUTATION_CALLS"
"""Environment variable: the folder into which the plugin ``calls`` writes."""


def settings(project: Path) -> tuple[list[str], list[str]]:
    """Return pytest's options and the tests, as ``[tool.mutmut]`` of pyproject.toml has them."""
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["tool"]["mutmut"]
    return table["pytest_add_cli_args"], table["pytest_add_cli_args_test_selection"]


def command(options: Iterable[str], tests: Iterable[str], temporary: Path) -> list[str]:
    """Return the command that runs the tests, the same examples of hypothesis each time."""
    examples = ("-p", first_failure.__name__, f"--hypothesis-profile={first_failure.PROFILE}")
    same = ("--hypothesis-seed=0", "--rootdir=.", f"--basetemp={temporary}")
    return [sys.executable, "-m", "pytest", "-q", *examples, *same, *options, *tests]


def environment(project: Path, mutant: str, **more: str) -> dict[str, str]:
    """Return the environment in which the mutant is in place of its function."""
    paths = [str(project.absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "MUTANT_UNDER_TEST": mutant,
        **more,
    }
