"""Opens a run to be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HarnessError
from ..mistakes import noted

if TYPE_CHECKING:
    from ..records import Run


def resumed(name: str, root: Path) -> Run:
    """Open a run by its folder, or by its id under ``root``. Raise ``HarnessError`` if it is none,
    a search for a capacity included, and pydantic's error if its experiment is malformed: what
    cannot be resumed must not be taken for a run without cells, whose folder would be removed."""
    from ..experiment import Experiment
    from ..records import open_run

    record = open_run(name, root)
    if {"experiment", "goals"} <= record.experiment.keys():
        raise HarnessError(f"{name}: a search, which slbench capacity --resume {name} continues")
    with noted(str(record.path / "run.json")):
        Experiment.model_validate(record.experiment)
    return record
