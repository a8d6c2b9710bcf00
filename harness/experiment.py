"""An experiment: systems × workloads × seeds on one deployment. Unknown keys are errors: if a
misspelt key were ignored, the run would differ from what its file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from systems.interface import Isolation, Limits, Name

from . import axes
from .errors import HarnessError
from .replay.closed_loop import ClosedLoop
from .replay.form import RequestForm


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
FileLabel = Annotated[str, Field(pattern=r"^[^./@][^/@]*$")]
"""As wide as the names of workload files, from which it is made; ``@`` begins a sweep's point."""
Tenants = Annotated[
    Annotated[PositiveInt, Tag("number")] | Annotated[Mapping[str, Name], Tag("by-function")],
    Discriminator(lambda given: "by-function" if isinstance(given, Mapping) else "number"),
]
"""The discriminator makes an error name the form that was meant."""


FIGURES = ("time-breakdown", "memory-over-time")
SWEPT = ("throughput",)
"""The figures that a run draws by default; with a sweep."""


class SystemChoice(_Strict):
    """A system under test and its options."""

    name: str
    """A system's name: ``slbench systems list``."""
    label: Label = Field(default_factory=lambda choice: choice.get("name", ""))
    """The name of this choice in folders, tables and figures; default: the system's name. With
    different labels, a system can be chosen several times."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Options of the system by name: ``slbench systems show NAME``."""
    policies: Mapping[str, str] = Field(default_factory=dict)
    """Policies that replace the system's own: seam → name or ``package.module:Class``."""
    isolation: Isolation | None = None
    """The isolation level of this choice; None: the deployment's."""
    tenants: Tenants | None = None
    """The tenants that this choice knows; None: the deployment's."""


def _file_label(workload: str) -> str:
    return Path(workload).name.split(".")[0].replace(":", "-").replace("@", "-")


class WorkloadChoice(_Strict):
    """A workload by catalogue name or path, and the parameters to override."""

    name: str
    """A workload of the catalogue (``slbench workloads list``), or the path of a workload file."""
    label: FileLabel = Field(default_factory=lambda choice: _file_label(choice.get("name", "w")))
    """The name of this choice in folders, tables and figures; default: the workload's name without
    its folder and suffix. With different labels, a workload can be chosen several times."""
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    """Parameters of the workload by name, such as ``duration_s``."""
    users: PositiveInt | None = None
    """Closed loop: so many users send the workload's requests in its order, each the next one once
    it has its last answer. None: open loop, each request at its own time."""
    think_s: NonNegativeFloat = 0.0
    """Seconds between an answer and the same user's next request."""
    ramp_s: NonNegativeFloat = 0.0
    """Seconds over which the users begin, one after another."""

    prompts: Literal["ids", "text", "chat"] = "ids"
    """Prompts as token ids; or real text, with as many tokens by the backbone's tokenizer, sent as
    a completion or as a chat. For servers that take no token ids."""
    ignore_eos: bool = True
    """Ask for exactly the wanted number of tokens. False, for servers that do not know the field:
    answers end where the model ends them."""

    @property
    def form(self) -> RequestForm:
        """The form of the requests."""
        return RequestForm(prompts=self.prompts, ignore_eos=self.ignore_eos)

    @property
    def loop(self) -> ClosedLoop | None:
        """The closed loop; None: open."""
        if self.users is None:
            return None
        return ClosedLoop(users=self.users, think_s=self.think_s, ramp_s=self.ramp_s)

    @model_validator(mode="after")
    def _paced_by_users(self) -> Self:
        if self.users is None and (self.think_s or self.ramp_s):
            raise ValueError(f"{self.label}: think_s and ramp_s are of a closed loop; set users")
        return self


class DeploymentChoice(_Strict):
    """The deployment that all systems get. The functions come with the workload."""

    backbone: str = "smollm2-135m"
    """A preset's name or a Hugging Face directory."""
    backbones: tuple[str, ...] = ()
    """Several backbones instead of ``backbone``; functions are assigned to them in turn."""
    adapters: Literal["skills"] | tuple[Path, ...] = ()
    """peft directories, assigned to the functions in turn; empty: adapters are made from seeds;
    ``skills``: those of SmolLM2-135M that ``slbench models skills`` lists."""
    adapter_rank: PositiveInt = 16
    """Rank of the adapters that are made from seeds."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Number format of weights and computation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Kind of device of a live run; auto: a GPU if the machine has enough, else the CPU."""
    devices: PositiveInt = 1
    """Devices of each node."""
    device_memory_gib: PositiveFloat | tuple[PositiveFloat, ...] = 12.0
    """Memory that each device offers; on a CPU a budget of host memory. A list, one number for
    each, where devices differ."""
    slo_ttft_s: PositiveFloat = 2.5
    """Objective for the time to first token, from the intended send."""
    slo_ttft_s_by_backbone: Mapping[str, PositiveFloat] = Field(default_factory=dict)
    """Backbone → its TTFT limit in seconds, where that is not ``slo_ttft_s``."""
    slo_tpot_s: PositiveFloat | None = None
    """Limit of the time per output token after the first; None: no such objective."""
    slo_e2e_s: PositiveFloat | None = None
    """Limit of the whole answer's time from the intended send; None: no such objective."""
    limits: Limits = Limits()
    """Bounds that are equal for all systems."""
    isolation: Isolation = "function"
    """Which functions may share an instance. Systems without isolation levels ignore it."""
    tenants: Tenants | None = None
    """The functions' owners: a number of tenants t0, t1, …, assigned to the functions in turn; or
    function → tenant. A function without a tenant is its own tenant; None: all are."""
    cluster: str | None = None
    """Nodes, each with these devices: ``local:N`` for N nodes on this machine, or a Ray cluster's
    HOST:PORT; None: this machine only."""

    @model_validator(mode="after")
    def _memory_of_each(self) -> Self:
        told = self.device_memory_gib
        if isinstance(told, tuple) and len(told) != self.devices:
            raise ValueError(
                f"device_memory_gib: {len(told)} numbers for {self.devices} devices; give one for"
                " each, or one for all"
            )
        return self

    @property
    def memory_bytes(self) -> tuple[int, ...]:
        """The memory of each device."""
        told = self.device_memory_gib
        gib = told if isinstance(told, tuple) else (told,) * self.devices
        return tuple(round(each * 2**30) for each in gib)

    def slo_of(self, backbone: str) -> float:
        """Return the TTFT limit in seconds of a function of ``backbone``."""
        return self.slo_ttft_s_by_backbone.get(backbone, self.slo_ttft_s)


class Experiment(_Strict):
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
    figures: tuple[str, ...] = Field(
        default_factory=lambda chosen: SWEPT if chosen.get("sweep") else FIGURES
    )
    """Figures that the run draws; default: ``time-breakdown`` and ``memory-over-time``, and of a
    sweep ``throughput``."""
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
        if self.baseline is not None and self.baseline not in systems:
            raise ValueError(f"baseline: {self.baseline!r} is not among the systems {systems}")
        return self

    @model_validator(mode="after")
    def _labels_tell_the_truth(self) -> Self:
        """Refuse a label that names another system: its results would be taken for that one's."""
        from systems.registry import system_names

        for system in self.systems:
            if system.label != system.name and system.label in system_names():
                raise ValueError(
                    f"systems: {system.name} has the label {system.label!r}, the name of another"
                    " system; choose another label"
                )
        return self

    @model_validator(mode="after")
    def _workload_labels_tell_the_truth(self) -> Self:
        """Refuse a label that names another workload, as for systems."""
        given = [each for each in self.workloads if each.label != _file_label(each.name)]
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


def shipped() -> dict[str, Path]:
    """Return the paths of the experiments that come with the suite, by name."""
    folder = Path(str(files("harness") / "experiments"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(name: str, changes: Mapping[str, Any] | None = None) -> Experiment:
    """Load an experiment by name or ``.yaml`` path, with ``changes`` as for ``from_content``. Raise
    ``HarnessError`` if it does not exist or is no mapping, and pydantic's error, which notes the
    path, if it is malformed."""
    path = _find(name)
    try:
        return from_content({"name": path.stem, **_content(path)}, changes)
    except ValidationError as error:
        error.add_note(str(path))
        raise


def _content(path: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the content of a file, laid over that of the experiment that it ``extends``."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise HarnessError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise HarnessError(f"{path}: an experiment is a mapping of keys, see the shipped ones")
    if "extends" not in content:
        return content
    if path in above:
        raise HarnessError(f"{path}: extends itself")
    inherited = _content(_find(str(content.pop("extends"))), (*above, path))
    _merge(inherited, content)
    return inherited


def from_content(given: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Experiment:
    """Build an experiment from the content of a file, which is not modified. ``changes`` (dotted
    key → value) override its keys; in simulated mode its section ``simulated`` does so first. The
    baseline is dropped if ``changes`` replace the systems and it is not among them. Raise
    pydantic's error if it is malformed."""
    content, changes = deepcopy(dict(given)), dict(changes or {})
    otherwise = content.pop("simulated", {})
    if changes.get("mode", content.get("mode")) == "simulated":
        _merge(content, otherwise)
    for key, value in changes.items():
        _lay_over(content, key, value)
    baseline = content.pop("baseline", None) if _replaces_baseline(changes) else None
    experiment = Experiment.model_validate(content)
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
    """Override ``content`` with ``over``: mappings key by key, other values as a whole."""
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
    """Parse ``key=value`` of ``--set``; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise HarnessError(f"--set {text}: write key=value, such as deployment.dtype=bfloat16")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise HarnessError(f"--set {text}: {value!r} is not YAML") from error
