"""What to run: systems × workloads × seeds on one deployment. Unknown keys are refused, because a
misspelt key that is ignored makes a run that is not what its file says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from systems.interface import Limits

from .errors import HarnessError


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemChoice(_Strict):
    """A system under test and the options that are its own."""

    name: str
    options: Mapping[str, Any] = Field(default_factory=dict)
    policies: Mapping[str, str] = Field(default_factory=dict)
    """Policies in place of the system's own: seam → name or ``package.module:Class``."""


class WorkloadChoice(_Strict):
    """A workload by catalogue name or path, and what to change of it."""

    name: str
    overrides: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """A name fit for a directory."""
        return Path(self.name).name.split(".")[0].replace(":", "-")


class DeploymentChoice(_Strict):
    """What every system is given alike. Functions come with the workload."""

    backbone: str = "smollm2-135m"
    """A preset's name or a Hugging Face Llama directory."""
    backbones: tuple[str, ...] = ()
    """Several in its place: the functions are dealt out to them in turn."""
    adapters: tuple[Path, ...] = ()
    """peft directories, dealt out to the functions in turn; none: seeded ones are made."""
    adapter_rank: PositiveInt = 16
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What it runs on, live; auto: a card where there is one."""
    devices: PositiveInt = 1
    device_memory_gib: PositiveFloat = 12.0
    slo_ttft_s: PositiveFloat = 2.5
    slo_ttft_s_by_backbone: Mapping[str, PositiveFloat] = Field(default_factory=dict)
    """Where it differs for one of several backbones."""
    limits: Limits = Limits()
    cluster: str | None = None
    """Nodes that have these devices, each its own: ``local:N`` for N on this machine, or a Ray
    cluster's HOST:PORT; None: this machine is all there is."""

    def slo_of(self, backbone: str) -> float:
        """Seconds to the first token that a function of ``backbone`` is allowed."""
        return self.slo_ttft_s_by_backbone.get(backbone, self.slo_ttft_s)


class Experiment(_Strict):
    """One comparison, complete: the same file gives the same run."""

    name: str
    summary: str = ""
    systems: tuple[SystemChoice, ...] = Field(min_length=1)
    workloads: tuple[WorkloadChoice, ...] = Field(min_length=1)
    deployment: DeploymentChoice = DeploymentChoice()
    baseline: str | None = None
    """The system that ratios are against; None: the last one."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    repeats: PositiveInt = 1
    prices: str = "alibaba-fc"
    """What serverless systems are billed by."""
    instance_prices: str | None = None
    """What serverful systems are billed by, by the hour; None: what the profile names, and live an
    instance of H100."""
    request_timeout_s: PositiveFloat = 120.0
    lateness_budget_s: PositiveFloat = 0.010
    """p99 of the client's lateness past which a cell is invalid."""
    load_workers: PositiveInt = 1
    figures: tuple[str, ...] = ("time-breakdown", "memory-over-time")
    mode: Literal["live", "simulated"] = "live"
    profile: str = "cpu-small"
    """The device profile of a simulated run: a shipped one's name or a .toml file."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [system.name for system in self.systems]
        if len(set(names)) != len(names):
            raise ValueError(f"systems: each at most once, got {names}")
        labels = [workload.label for workload in self.workloads]
        if len(set(labels)) != len(labels):
            raise ValueError(f"workloads: each at most once, got {labels}")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline: {self.baseline!r} is not among the systems {names}")
        return self

    def tracing(self) -> Experiment:
        """The same with every system asked to keep its decisions."""
        systems = tuple(
            each.model_copy(update={"options": {**each.options, "trace_decisions": True}})
            for each in self.systems
        )
        return self.model_copy(update={"systems": systems})

    def auditing(self, every_s: float) -> Experiment:
        """The same with every system that shares backbones asked to sum them every so often.
        ``HarnessError`` where none of them does, or nothing is there to be summed."""
        from systems.registry import system_class

        if self.mode == "simulated":
            raise HarnessError("--audit: a simulated run holds no bytes; run it live")
        audited = [each.name for each in self.systems if system_class(each.name).audits]
        if not audited:
            names = ", ".join(each.name for each in self.systems)
            raise HarnessError(f"--audit: of {names} none can audit what it shares")
        systems = tuple(
            each.model_copy(update={"options": {**each.options, "audit_s": every_s}})
            if each.name in audited
            else each
            for each in self.systems
        )
        return self.model_copy(update={"systems": systems})

    def with_baseline_if_present(self, name: str) -> Experiment:
        """The same with ratios against the system ``name``, where that takes part."""
        if name not in [system.name for system in self.systems]:
            return self
        return self.model_copy(update={"baseline": name})

    @property
    def against(self) -> str:
        return self.baseline or self.systems[-1].name


def shipped() -> dict[str, Path]:
    """Experiments that come with the suite, by name."""
    folder = Path(str(files("harness") / "experiments"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(name: str, changes: Mapping[str, Any] | None = None) -> Experiment:
    """An experiment by name or ``.yaml`` path, with ``changes`` (dotted key → value) laid over
    it; in simulated mode its section ``simulated`` first. Its baseline is dropped where ``changes``
    replace the systems by others. ``HarnessError`` where there is none, pydantic's where it is
    malformed."""
    path = _find(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise HarnessError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise HarnessError(f"{path}: an experiment is a mapping of keys, see the shipped ones")
    changes = dict(changes or {})
    otherwise = content.pop("simulated", {})
    if changes.get("mode", content.get("mode")) == "simulated":
        _merge(content, otherwise)
    for key, value in changes.items():
        _lay_over(content, key, value)
    baseline = content.pop("baseline", None) if _replaces_baseline(changes) else None
    experiment = Experiment.model_validate({"name": path.stem, **content})
    return experiment if baseline is None else experiment.with_baseline_if_present(baseline)


def _replaces_baseline(changes: Mapping[str, Any]) -> bool:
    return "systems" in changes and "baseline" not in changes


def _find(name: str) -> Path:
    known = shipped()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if path.exists():
            return path
        raise HarnessError(f"experiment file {name} does not exist")
    raise HarnessError(
        f"experiment {name!r} is unknown; known: {', '.join(known)}, or a path to a .yaml file"
    )


def _merge(content: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay ``over`` over ``content``: mappings key by key, all else as a whole."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


def _lay_over(content: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise HarnessError(f"--set {key}: {parent} is not a mapping in this experiment")
    place[last] = value


def parse_setting(text: str) -> tuple[str, Any]:
    """``key=value`` of ``--set``, the value read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise HarnessError(f"--set {text}: write key=value, such as deployment.dtype=bfloat16")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise HarnessError(f"--set {text}: {value!r} is not YAML") from error
