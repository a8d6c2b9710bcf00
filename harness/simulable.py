"""Which systems of an experiment can be simulated."""

from __future__ import annotations

import sys

from .errors import HarnessError
from .experiment import Experiment


def without_live_only(experiment: Experiment) -> Experiment:
    """Return ``experiment``, if it is simulated without the systems that run live only, which a
    line on standard error names; a baseline among them is dropped. If none would be left, it is
    returned as it is: a run or a check refuses it."""
    if experiment.mode != "simulated":
        return experiment
    left_out = [each.label for each in experiment.systems if not is_simulable(each.name)]
    kept = tuple(each for each in experiment.systems if each.label not in left_out)
    if not left_out or not kept:
        return experiment
    print(f"left out, because they run live only: {', '.join(left_out)}", file=sys.stderr)
    baseline = None if experiment.baseline in left_out else experiment.baseline
    return experiment.model_copy(update={"systems": kept, "baseline": baseline})


def check_simulable(name: str) -> None:
    """Raise ``HarnessError`` for a system that cannot be simulated."""
    if not is_simulable(name):
        raise HarnessError(
            f"system {name} runs live only; --simulated needs one that decides in this suite"
        )


def is_simulable(name: str) -> bool:
    """Return whether the system ``name`` can be simulated. One that does not exist counts as if it
    could: what checks names says more about it."""
    from systems.errors import UnknownSystemError
    from systems.registry import system_class

    try:
        return hasattr(system_class(name), "simulate")
    except UnknownSystemError:
        return True
