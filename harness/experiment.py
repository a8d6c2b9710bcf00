"""An experiment: systems × workloads × seeds on one deployment. Unknown keys are errors: if a
misspelt key were ignored, the run would differ from what its file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from . import axes
from .choices import DeploymentChoice, Strict, SystemChoice, WorkloadChoice, file_label
from .errors import HarnessError

BREAKDOWN = "time-breakdown"
"""A workload, and the figure of it."""
FIGURES = ("memory-over-time",)
SWEPT = ("throughput",)
"""The figures that a run draws by default; with a sweep."""


def _figures(chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the figures of an experiment that names none, from its other keys."""
    if chosen.get("sweep"):
        return SWEPT
    labels = [workload.label for workload in chosen.get("workloads", ())]
    return (BREAKDOWN, *FIGURES) if BREAKDOWN in labels else FIGURES


class Experiment(Strict):
    """One complete comparison: the same file gives the same run."""

    name: str
    """Part of the run's id; default: the name of the file."""
    summary: str = ""
    """A sentence for ``slbench experiments list``."""
    systems: tuple[SystemChoice, ...] = Field(min_length=1)
    """The systems under test, each with the keys below."""
    workloads: tuple[WorkloadChoice, ...] = Field(min_length=1)
    """The workloads that are sent to each system, each with the keys below."""
    deployment: DeploymentChoice = DeploymentChoice()
    """What all systems get, with the keys below."""
    sweep: Annotated[tuple[axes.Axis, ...], BeforeValidator(axes.as_axes)] = ()
    """Axes, whose values are crossed: a list of mappings from keys of ``workloads``, ``systems`` or
    ``deployment`` to values, the keys of one mapping varying together; or one mapping, whose keys
    are an axis each. Every cell is run at every point."""
    baseline: str | None = None
    """The label of the system that ratios are relative to; None: the last one."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds of the workloads' and the prompts' random streams; every cell is run with each."""
    repeats: PositiveInt = 1
    """Times that each cell is run with the same seed."""
    prices: str = "alibaba-fc"
    """Price sheet of serverless systems."""
    instance_prices: str | None = None
    """Price sheet of serverful systems, by the hour; None: the profile's, and in live runs that of
    an instance with H100 GPUs."""
    request_timeout_s: PositiveFloat = 120.0
    """After this, the client gives a request up."""
    lateness_budget_s: PositiveFloat = 0.010
    """A cell is invalid if the p99 of the client's lateness exceeds this, in seconds."""
    load_workers: PositiveInt = 1
    """Locust's worker processes."""
    load_cores: NonNegativeInt = 0
    """Live: cores of this machine for the load workers alone; the system gets the others. 0: both
    run on all."""
    figures: tuple[str, ...] = Field(default_factory=_figures)
    """Figures that the run draws; default: ``memory-over-time``, with the workload
    ``time-breakdown`` also its figure, and of a sweep ``throughput``."""
    mode: Literal["live", "simulated"] = "live"
    """With real processes on this machine, or in virtual time by a device profile."""
    profile: str = "cpu-small"
    """Device profile of a simulated run: the name of a shipped one, or a .toml file."""
    draw_durations: bool = True
    """Simulated: durations are drawn from the distributions that the profile has, by seed and
    repeat, the same for every system; false: each is its mean or median."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        systems = [system.label for system in self.systems]
        if len(set(systems)) != len(systems):
            raise ValueError(f"systems: each label at most once, got {systems}; set label")
        labels = [workload.label for workload in self.workloads]
        if len(set(labels)) != len(labels):
            raise ValueError(f"workloads: each label at most once, got {labels}; set label")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(
                f"seeds: each at most once, got {[*self.seeds]}; repeats run one again"
            )
        if self.baseline is not None and self.baseline not in systems:
            raise ValueError(f"baseline: {self.baseline!r} is not among the systems {systems}")
        return self

    @model_validator(mode="after")
    def _labels_tell_the_truth(self) -> Self:
        """Refuse a label that names another system: its results would be taken for that one's."""
        from systems.registry import system_names

        labelled = [each for each in self.systems if each.label != each.name]
        names = system_names() if labelled else ()
        for system in labelled:
            if system.label in names:
                raise ValueError(
                    f"systems: {system.name} has the label {system.label!r}, the name of another"
                    " system; choose another label"
                )
        return self

    @model_validator(mode="after")
    def _workload_labels_tell_the_truth(self) -> Self:
        """Refuse a label that names another workload, as for systems."""
        given = [each for each in self.workloads if each.label != file_label(each.name)]
        if not given:
            return self
        from workloads import catalogue

        for workload in given:
            if workload.label in catalogue.names():
                raise ValueError(
                    f"workloads: {workload.name} has the label {workload.label!r}, the name of"
                    " another workload; choose another label"
                )
        return self

    @model_validator(mode="after")
    def _valid_at_every_point(self) -> Self:
        axes.check(self.sweep)
        if self.sweep:
            for _ in self.points():
                pass
        return self

    def points(self) -> Iterator[tuple[axes.Point, Experiment]]:
        """Yield each point of the sweep with the experiment there, which has no sweep."""
        for point in axes.points(self.sweep):
            yield point, self._at(point) if point else self

    def _at(self, point: axes.Point) -> Experiment:
        content = self.model_dump(mode="json", exclude={"sweep"})
        return Experiment.model_validate(axes.laid_over(content, point))

    def tracing(self) -> Experiment:
        """Return a copy in which every system that can records its decisions. Raise
        ``HarnessError`` if none can."""
        from systems.registry import system_class

        able = [each.name for each in self.systems if system_class(each.name).traces]
        if not able:
            names = ", ".join(each.name for each in self.systems)
            raise HarnessError(f"--trace-decisions: none of the systems ({names}) has this option")
        return self._with_option("trace_decisions", True, able)

    def _with_option(self, option: str, value: Any, of: Sequence[str]) -> Experiment:
        """Return a copy in which the systems named in ``of`` have ``option``."""
        systems = tuple(
            each.model_copy(update={"options": {**each.options, option: value}})
            if each.name in of
            else each
            for each in self.systems
        )
        return self.model_copy(update={"systems": systems})

    def auditing(self, every_s: float) -> Experiment:
        """Return a copy in which every system that shares backbones computes their checksums every
        ``every_s`` seconds. Raise ``HarnessError`` if no system does, or in simulated mode."""
        from systems.registry import system_class

        if self.mode == "simulated":
            raise HarnessError("--audit: a simulated run holds no bytes; run it live")
        audited = [each.name for each in self.systems if system_class(each.name).audits]
        if not audited:
            names = ", ".join(each.name for each in self.systems)
            raise HarnessError(f"--audit: none of the systems ({names}) can audit its weights")
        return self._with_option("audit_s", every_s, audited)

    def with_baseline_if_present(self, name: str) -> Experiment:
        """Return a copy with the system labelled ``name`` as baseline, if the experiment has it."""
        if name not in [system.label for system in self.systems]:
            return self
        return self.model_copy(update={"baseline": name})

    @property
    def against(self) -> str:
        """The label of the system that ratios are relative to."""
        return self.baseline or self.systems[-1].label
