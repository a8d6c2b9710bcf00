"""docs/shipped-experiments.md: the experiments that come with the suite."""

from __future__ import annotations

from collections.abc import Iterable

from ..cells.plan import plan_cells
from ..experiment import Experiment
from ..experiment_files import load, shipped
from .markdown import table

_HEAD = """# The shipped experiments

Generated from `harness/experiments/*.yaml` by `python -m harness.manual`. Run one with
`slbench run NAME`, see all of its keys with `slbench experiments show NAME`;
[experiments.md](experiments.md) says how to write one. `--simulated` runs a live one in virtual
time, without the systems that run live only, which it names.

"""
_HEADS = ("experiment", "mode", "cells", "systems", "workloads", "what")


def experiments() -> str:
    return _HEAD + table(_HEADS, (_row(load(name)) for name in shipped()))


def _row(experiment: Experiment) -> tuple[str, ...]:
    cells = sum(1 for _ in plan_cells(experiment))
    return (
        f"`{experiment.name}`",
        experiment.mode,
        str(cells),
        _listed(str(each.label) for each in experiment.systems),
        _listed(str(each.label) for each in experiment.workloads),
        experiment.summary,
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
