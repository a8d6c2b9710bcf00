"""What an experiment chooses: systems, workloads and their deployment. Unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from systems.interface import Isolation, Limits, Name

from .replay.closed_loop import ClosedLoop
from .replay.form import RequestForm


class Strict(BaseModel):
    """Base class of the models of an experiment file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
FileLabel = Annotated[str, Field(pattern=r"^[^./@][^/@]*$")]
"""As wide as the names of workload files, from which it is made; ``@`` begins a sweep's point."""
Tenants = Annotated[
    Annotated[PositiveInt, Tag("number")] | Annotated[Mapping[str, Name], Tag("by-function")],
    Discriminator(lambda given: "by-function" if isinstance(given, Mapping) else "number"),
]
"""The discriminator makes an error name the form that was meant."""


def _finite(given: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, value in given.items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{name}: {value} is not right; wanted: a finite number")
    return given


Settings = Annotated[Mapping[str, Any], AfterValidator(_finite)]
"""What others check. Only finite numbers: in the JSON of a record another would become null, which
is a default."""


class SystemChoice(Strict):
    """A system under test and its options."""

    name: str
    """A system's name: ``slbench systems list``."""
    label: Label = Field(default_factory=lambda choice: choice.get("name", ""))
    """The name of this choice in folders, tables and figures; default: the system's name. With
    different labels, a system can be chosen several times."""
    options: Settings = Field(default_factory=dict)
    """Options of the system by name: ``slbench systems show NAME``."""
    policies: Mapping[str, str] = Field(default_factory=dict)
    """Policies that replace the system's own: seam → name or ``package.module:Class``."""
    isolation: Isolation | None = None
    """The isolation level of this choice; None: the deployment's."""
    tenants: Tenants | None = None
    """The tenants that this choice knows; None: the deployment's."""


def file_label(workload: str) -> str:
    """Return the label of a workload that is given none."""
    return Path(workload).name.split(".")[0].replace(":", "-").replace("@", "-")


class WorkloadChoice(Strict):
    """A workload by catalogue name or path, and the parameters to override."""

    name: str
    """A workload of the catalogue (``slbench workloads list``), or the path of a workload file."""
    label: FileLabel = Field(default_factory=lambda choice: file_label(choice.get("name", "w")))
    """The name of this choice in folders, tables and figures; default: the workload's name without
    its folder and suffix. With different labels, a workload can be chosen several times."""
    overrides: Settings = Field(default_factory=dict)
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


class DeploymentChoice(Strict):
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
    """Kind of device; auto: live a GPU if the machine has enough, else the CPU; simulated what the
    profile is of."""
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
