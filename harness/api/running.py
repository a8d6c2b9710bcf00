"""Runs an experiment from Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import HarnessError
from ..experiment import Experiment
from ..experiment_files import from_content, load
from ..mistakes import first_mistake
from ..places import RUNS
from ..records import new_run
from ..simulable import without_live_only
from .run_data import RunData


def run(
    experiment: str | Path | Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    *,
    out: str | Path = RUNS,
    workers: int = 1,
) -> RunData:
    """Run an experiment into a new folder under ``out``, as ``slbench run`` does; progress goes to
    standard error. A simulated run is without the systems that run live only. ``experiment``: the
    name of a shipped one, a .yaml file, or the content of one. ``changes``: dotted key → value, as
    with ``--set``. ``workers``: processes for simulated cells; more than one need a script with an
    ``if __name__ == "__main__"``.

    Raise ``HarnessError`` for a wrong request or a malformed experiment, ``InterruptedRunError`` if
    the run ends early."""
    from ..commands.keeping import keeping
    from ..execution.progress import Progress
    from ..execution.runner import Runner

    chosen = without_live_only(_chosen(experiment, changes))
    with keeping(partial(new_run, chosen.model_dump(mode="json"), Path(out))) as record:
        Runner(chosen, record, Progress()).execute(workers)
    return RunData(record)


def _chosen(
    experiment: str | Path | Mapping[str, Any], changes: Mapping[str, Any] | None
) -> Experiment:
    try:
        if isinstance(experiment, Mapping):
            return from_content({"name": "experiment", **experiment}, changes)
        return load(str(experiment), changes)
    except ValidationError as error:
        raise HarnessError(first_mistake(error)) from error
