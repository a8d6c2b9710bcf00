"""Studies by name: an experiment, or one that is repeated with a single number varied."""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from systems.runtime.swept_folder import swept

from ..cost import accountings
from ..errors import HarnessError
from ..experiment import Experiment
from ..experiment_files import load, shipped

_FOLDER = Path(str(files("harness") / "reference"))


class Study(BaseModel):
    """``values``: of the quantity that ``over`` describes; empty: one run, kept completely.
    ``axis``: the key of the experiment's own sweep that has these values; empty: ``set`` and
    ``substitute`` vary the experiment.
    ``workload`` is a template of this package, filled by ``substitute``; products (``2*$value``)
    and quotients are evaluated. ``published_at``: the value in the paper's evaluation, if it has
    one. ``ratios``: metrics of which the ratio to the experiment's baseline is kept as well;
    ``window_s``: rates within so many seconds are, too; ``accountings``: the costs under these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    experiment: str
    systems: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    workload: str | None = None
    values: tuple[float, ...] = ()
    over: str = ""
    axis: str = ""
    published_at: float | None = None
    ratios: tuple[str, ...] = ()
    window_s: float | None = None
    accountings: tuple[str, ...] = ()
    set: Mapping[str, str] = Field(default_factory=dict)
    substitute: Mapping[str, str] = Field(default_factory=dict)

    def over_values(self, values: Sequence[float]) -> Study:
        """Return the same sweep with other values. Raises ``HarnessError`` if it is not a sweep."""
        if not self.values:
            raise HarnessError(f"study {self.name} is not a sweep: it takes no values")
        return self.model_copy(update={"values": tuple(values)})

    @contextmanager
    def at(self, value: float | None) -> Iterator[Experiment]:
        """Yield the experiment for ``value``, with its workload generated."""
        changes: dict[str, Any] = {"mode": "simulated"}
        changes |= {key: yaml.safe_load(_filled(text, value)) for key, text in self.set.items()}
        if self.systems:
            changes["systems"] = [{"name": name} for name in self.systems]
        if self.workloads:
            changes["workloads"] = [{"name": name} for name in self.workloads]
        with swept("slbench-study-") as folder:
            if self.workload:
                path = folder / self.workload
                path.write_text(self._workload(value), encoding="utf-8")
                changes["workloads"] = [{"name": str(path)}]
            yield self._point(load(self.experiment, changes), value)

    def _point(self, experiment: Experiment, value: float | None) -> Experiment:
        """Return the point of the experiment's sweep at ``value``; without an axis, all of it."""
        if not self.axis:
            return experiment
        return next(each for point, each in experiment.points() if point[self.axis] == value)

    def _workload(self, value: float | None) -> str:
        text = (_FOLDER / "workloads" / str(self.workload)).read_text(encoding="utf-8")
        filled = {key: _worked_out(_filled(each, value)) for key, each in self.substitute.items()}
        return Template(text).substitute(filled)


def studies() -> dict[str, Study]:
    """Load every study of the suite, in the order in which they run."""
    content = tomllib.loads((_FOLDER / "studies.toml").read_text(encoding="utf-8"))
    found = {name: Study(name=name, **about) for name, about in content.items()}
    unknown = {study.experiment for study in found.values()} - set(shipped())
    if unknown:
        raise HarnessError(f"studies.toml: no experiment {', '.join(sorted(unknown))}")
    unknown = {name for study in found.values() for name in study.accountings} - set(accountings())
    if unknown:
        raise HarnessError(f"studies.toml: no accounting {', '.join(sorted(unknown))}")
    return found


def _filled(text: str, value: float | None) -> str:
    return text if value is None else Template(text).substitute(value=f"{value:g}")


def _worked_out(text: str) -> str:
    """Evaluate a product or a quotient: ``2*8`` is 16; ``2.0*8`` is 16.0, as is ``32.0/2``."""
    for sign, operation in (("*", operator.mul), ("/", operator.truediv)):
        first, found, second = text.partition(sign)
        if found:
            result = operation(float(first), float(second))
            return f"{result:g}" if "." not in first else str(result)
    return text
