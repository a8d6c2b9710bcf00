"""A search on disk: ``run.json`` (what was asked), ``capacity.json`` (the result), and a run for
each load that was tested: ``x1.5/<system>/<workload>/<seed>``. Its cells are the only state of the
search; the result is computed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import RecordError
from ..experiment import Experiment
from ..places import RUNS
from ..records import Cell, Run, create_run, new_run, open_run
from .goal import Goal, parse_goal
from .limits import Limits
from .loads import at_load

RESULT = "capacity.json"


class Request(BaseModel):
    """What is asked. ``answered``: share of the requests that a feasible load answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    experiment: Experiment
    goals: tuple[str, ...] = Field(min_length=1)
    answered: float = Field(default=0.99, ge=0, le=1)
    limits: Limits = Limits()

    @property
    def parsed(self) -> list[Goal]:
        return [parse_goal(text) for text in self.goals]


@dataclass(frozen=True)
class CapacityRecord:
    """A search on disk."""

    path: Path
    experiment: Mapping[str, Any]
    """The request, as JSON."""

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def request(self) -> Request:
        return Request.model_validate(self.experiment)

    def run_at(self, load: float) -> Run:
        """Open or create the run of the experiment at ``load``."""
        path = self.path / f"x{load:g}"
        if path.exists():
            return open_run(path)
        experiment = at_load(self.request.experiment, load)
        return create_run(experiment.model_dump(mode="json"), path)

    def cells(self) -> list[Cell]:
        """Read every finished cell of every load."""
        return [cell for path in sorted(self.path.glob("x*")) for cell in Run(path, {}).cells()]

    def write(self, document: Mapping[str, Any]) -> None:
        """Replace the result."""
        draft = self.path / f".{RESULT}"
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.path / RESULT)

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """The result as it was last written. Raise ``RecordError`` if there is none."""
        try:
            found: Mapping[str, Any] = json.loads((self.path / RESULT).read_bytes())
        except (OSError, ValueError) as error:
            raise RecordError(f"{self.path}: no readable {RESULT}; --resume makes it") from error
        return found


def is_capacity(path: Path) -> bool:
    return (path / RESULT).exists()


def new_capacity(
    experiment: Experiment,
    goals: Sequence[str],
    root: Path = RUNS,
    *,
    limits: Limits | None = None,
    answered: float = 0.99,
) -> CapacityRecord:
    """Create the folder of a search under ``root``. Raise ``HarnessError`` if a goal is not one, or
    ``root`` cannot be written."""
    texts = tuple(str(parse_goal(each)) for each in goals)
    request = Request(
        name=f"{experiment.name}-capacity",
        experiment=experiment,
        goals=texts,
        limits=limits or Limits(),
        answered=answered,
    )
    run = new_run(request.model_dump(mode="json"), root)
    return CapacityRecord(run.path, run.experiment)


def open_capacity(name: str | Path, root: Path = RUNS) -> CapacityRecord:
    """Open a search by its folder, or by its id under ``root``. Raise ``RecordError`` if it is
    none."""
    run = open_run(name, root)
    record = CapacityRecord(run.path, run.experiment)
    try:
        record.request  # noqa: B018
    except ValidationError as error:
        raise RecordError(f"{name}: a run, not a search of slbench capacity") from error
    return record
