"""Opens a run to be resumed, and refuses other settings than its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import HarnessError
from ..mistakes import noted

if TYPE_CHECKING:
    from ..experiment import Experiment
    from ..records import Run

_KEPT = frozenset(
    {"resume", "out", "json_", "workers", "yes", "web", "web_port", "load_hosts", "listen"}
    | {"check_simulation"}
)
"""Parameters that say how a record is continued, not what it is of."""
_BESIDE = {"summary", "figures"}
"""Keys of an experiment that change no result."""


def check_no_settings(context: typer.Context) -> None:
    """Raise ``HarnessError`` if the command line has settings beside ``--resume``: they would be
    ignored."""
    found = [
        parameter.opts[0] if parameter.param_type_name == "option" else "EXPERIMENT"
        for parameter in context.command.params
        if (name := parameter.name or "") not in _KEPT and _is_given(context, name)
    ]
    if found:
        what = f"--resume {context.params['resume']}"
        raise HarnessError(f"{what}: has settings of its own; leave out {', '.join(found)}")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def check_same(chosen: Experiment, record: Run) -> None:
    """Raise ``HarnessError`` if the record is not one of the experiment that the command line
    chooses."""
    from ..experiment import Experiment

    asked = chosen.model_dump(mode="json", exclude=_BESIDE)
    own = Experiment.model_validate(record.experiment).model_dump(mode="json", exclude=_BESIDE)
    differs = [key for key, value in asked.items() if value != own[key]]
    if differs:
        raise HarnessError(
            f"--resume {record.path}: differs from what is asked for in {', '.join(differs)};"
            f" slbench run --resume {record.path} takes all settings of the run"
        )


def resumed(name: str, root: Path, chosen: Experiment | None = None) -> Run:
    """Open a run by its folder, or by its id under ``root``. Raise ``HarnessError`` if it is none,
    a search for a capacity included, or not one of ``chosen``, and pydantic's error if its
    experiment is malformed: what cannot be resumed must not be taken for a run without cells, whose
    folder would be removed."""
    from ..experiment import Experiment
    from ..records import open_run

    record = open_run(name, root)
    if {"experiment", "goals"} <= record.experiment.keys():
        raise HarnessError(f"{name}: a search, which slbench capacity --resume {name} continues")
    with noted(str(record.path / "run.json")):
        Experiment.model_validate(record.experiment)
    if chosen is not None:
        check_same(chosen, record)
    return record
