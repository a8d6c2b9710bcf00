"""The interface of every serving system, and the types that the harness exchanges with it.

The harness uses a system only through this module: ``check`` validates a deployment, ``deploy``
starts an OpenAI-compatible endpoint, ``system_trace`` returns the system trace, ``stop`` frees
everything. All times are integer nanoseconds of ``time.monotonic_ns`` on the system's host.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from .errors import DeploymentError, PolicyError

Int64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
"""An integer that fits a signed 64-bit column."""
Name = Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
"""The name of a function. Not of dots alone: it names folders."""
Isolation = Literal["function", "tenant", "backbone"]
"""An isolation level: which functions may share an instance (``systems/grouping.py``)."""


class Stage(enum.StrEnum):
    """What a request waits for, in the order of a cold start."""

    QUEUE = "queue"
    WARMING = "warming"
    LIBRARIES = "libraries"
    BACKBONE = "backbone"
    ADAPTER = "adapter"
    KERNELS = "kernels"
    PREFILL = "prefill"
    DECODE = "decode"


class StartType(enum.StrEnum):
    """The start type of a request. Cold: an instance had to be started or loaded; warm: a live
    instance lacked an artifact where it runs; hot: every artifact was in place."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


class MemoryOwner(enum.StrEnum):
    """The owner of device or host memory."""

    WEIGHTS = "weights"
    ADAPTERS = "adapters"
    KV = "kv"
    CONTEXT = "context"
    HOST_TIER = "host_tier"
    OTHER = "other"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Function(_Frozen):
    """A LoRA function: a backbone, its adapter (None: the bare backbone) and its SLOs."""

    id: FunctionName
    backbone: str
    adapter: Path | None = None
    slo_ttft_s: PositiveFloat = 2.5
    slo_tpot_s: PositiveFloat | None = None
    """Limit of the time per output token; None: no such objective."""
    slo_e2e_s: PositiveFloat | None = None
    """Limit of the whole answer's time; None: no such objective."""
    tenant: Name | None = None
    """The function's owner; None: the function is its own tenant."""

    @property
    def adapter_id(self) -> str:
        return self.adapter.name if self.adapter else ""


class Device(_Frozen):
    """A GPU, or (``cpu:N``) a budget of host memory that stands in for one."""

    name: str = Field(pattern=r"^(cpu|cuda):\d+$")
    memory_bytes: PositiveInt

    @property
    def kind(self) -> Literal["cpu", "cuda"]:
        return "cuda" if self.name.startswith("cuda") else "cpu"


class Limits(_Frozen):
    """Bounds that are equal for all systems of a comparison."""

    max_batch_size: PositiveInt = 8
    """Requests that an instance runs at once."""
    max_context_tokens: PositiveInt = 1024
    """Prompt and output of a request together."""
    keep_alive_s: PositiveFloat = 10.0
    """Time that an instance without requests is kept."""
    request_timeout_s: PositiveFloat = 120.0
    """After this, the gateway gives a request up."""
    threads_per_instance: PositiveInt | None = None
    """CPU threads of an instance's engine. None: all cores on a CPU device; on a GPU one thread,
    which launches the kernels."""


class Deployment(_Frozen):
    """The functions to serve and their resources, the same for every system of a comparison."""

    functions: tuple[Function, ...] = Field(min_length=1)
    backbones: Mapping[str, Path]
    devices: tuple[Device, ...] = Field(min_length=1)
    limits: Limits = Limits()
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    isolation: Isolation = "function"
    """Which functions may share an instance. Levels other than the default need a system that has
    them (``ServingSystem.isolation_levels``)."""
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 selects a free port."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Options of one system, validated by that system."""
    policies: Mapping[str, str] = Field(default_factory=dict)
    """Policies that replace those of the system: seam → name or ``package.module:Class``."""
    cluster: str | None = None
    """The nodes, each with its own set of ``devices``: ``local:N`` for N nodes on this machine,
    or the address of a Ray cluster. None: this machine only."""

    def instance_threads(self, cores: int) -> int:
        """Return the CPU threads of one instance on a machine with ``cores`` cores."""
        unsaid = cores if self.devices[0].kind == "cpu" else 1
        return self.limits.threads_per_instance or unsaid

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [function.id for function in self.functions]
        if len(set(ids)) != len(ids):
            raise ValueError(f"functions: ids must differ, got {sorted(ids)}")
        if len({device.name for device in self.devices}) != len(self.devices):
            raise ValueError("devices: names must differ")
        for function in self.functions:
            if function.backbone not in self.backbones:
                known = ", ".join(sorted(self.backbones))
                raise ValueError(
                    f"function {function.id}: backbone {function.backbone!r} is not deployed;"
                    f" deployed: {known}"
                )
        clash = set(ids) & set(self.backbones)
        if clash:
            raise ValueError(f"functions and backbones share the names {sorted(clash)}")
        return self


@dataclass(frozen=True, slots=True)
class Route:
    """The URL of a function's requests, and the model name to send there."""

    base_url: str
    model: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a deployed system. ``models``: the model names that requests may use."""

    base_url: str
    models: tuple[str, ...]
    pids: tuple[int, ...] = ()
    """Root processes of the system, for telemetry; empty if they cannot be observed."""
    routes: Mapping[str, Route] = field(default_factory=dict)
    """By model name: routes that differ from ``base_url`` with the same model name."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request. Never recorded, because they may contain an API key."""

    def route(self, model: str) -> Route:
        return self.routes.get(model) or Route(self.base_url, model)


@dataclass(frozen=True, slots=True)
class Span:
    """A stage of a request from ``start_ns`` to ``end_ns``; ``start_ns`` ≤ ``end_ns``."""

    stage: Stage
    start_ns: Int64
    end_ns: Int64


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """The system's record of one request. ``request_id`` is the ``X-Request-Id`` that the client
    sent. A field that the system cannot measure is None."""

    request_id: str
    function_id: str
    received_ns: Int64
    responded_ns: Int64 | None = None
    """When the last bytes of the response were written to the socket. Journaled before that
    write, so a client with a full response always has a record."""
    start_type: StartType | None = None
    instance_id: str | None = None
    batch_size: Int64 | None = None
    spans: tuple[Span, ...] = ()
    placed_ns: Int64 | None = None
    """When the request was dispatched to its instance, by the dispatcher's clock (not the
    instance's). From then on the request shares the instance's cost."""
    done_ns: Int64 | None = None
    """End of that share: its last output arrived, its instance ended or its client disconnected."""


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """From ``t_ns`` on, ``owner`` occupies ``bytes`` on ``device`` for ``function_id``, until the
    next step with the same device, owner and function."""

    t_ns: Int64
    device: str
    owner: MemoryOwner
    function_id: str | None
    """A function; for what the functions of a group share, the group (``systems/grouping.py``);
    None: shared by all."""
    bytes: Int64


@dataclass(frozen=True, slots=True)
class Activity:
    """An instance ran batches from ``start_ns`` to ``end_ns``, or (serverful) was kept ready.
    The interval is billed as active."""

    start_ns: Int64
    end_ns: Int64
    device: str
    instance_id: str
    function_id: str | None
    """As in ``MemoryStep``: a function, a group, or None: all functions."""
    threads: int | None = None
    """CPU threads of the instance; None: the deployment's ``threads_per_instance``."""


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """CPU time ``used_ns`` that an instance's processes used between ``start_ns`` and ``end_ns``,
    as counted by the kernel. The last value of an instance counts. CPU time beyond what its
    activities cover is billed in addition."""

    start_ns: Int64
    end_ns: Int64
    device: str
    instance_id: str
    function_id: str | None
    """As in ``MemoryStep``."""
    used_ns: Int64


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of the system, with the numbers that it was based on."""

    t_ns: Int64
    kind: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node of the run; times by the gateway's clock. ``left_ns``: when the connection was lost,
    for ``reason``; None if the node stayed to the end."""

    host: str
    address: str
    devices: tuple[str, ...]
    joined_ns: Int64
    left_ns: Int64 | None
    reason: str
    same_clock: bool
    """Whether the node shares the gateway's monotonic clock; if not, its times were corrected by
    the offset."""
    offset_ns: Int64
    """Node clock minus gateway clock, last measurement, with an error of up to ``error_ns``."""
    error_ns: Int64
    first_offset_ns: Int64
    """The same at the first measurement; the difference is clock drift."""


@dataclass(frozen=True, slots=True)
class NodeMemoryStep:
    """Memory of a node's processes (PSS and USS), as the node measured it; None where its kernel
    does not report it."""

    t_ns: Int64
    host: str
    pss_bytes: Int64 | None
    uss_bytes: Int64 | None


@dataclass(frozen=True, slots=True)
class SystemTrace:
    """The system trace: all that the system recorded, by its own clock. Empty if unobservable."""

    requests: tuple[RequestTrace, ...] = ()
    memory: tuple[MemoryStep, ...] = ()
    activity: tuple[Activity, ...] = ()
    processor: tuple[ProcessorUse, ...] = ()
    """Empty where the system cannot measure CPU time."""
    decisions: tuple[Decision, ...] = ()
    """Only if decision logging was requested."""
    problems: tuple[str, ...] = ()
    """Internal failures that no client saw, one line each."""
    warnings: tuple[str, ...] = ()
    """Warnings, one line each: what makes this run less comparable without making it wrong."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """The system's own measurements; the name contains the unit: ``startup_s``, and where the
    system measures TTFT, ``ttft_mean_s`` over ``ttft_n`` requests."""
    isolation_gaps: tuple[str, ...] = ()
    """Isolation gaps of this run: protections that other runs have and this one lacks."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files to store with the records, by name: logs and scraped metrics."""
    nodes: tuple[NodeSeen, ...] = ()
    """Nodes of a run on several machines."""
    node_memory: tuple[NodeMemoryStep, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """The system's part of a manifest: name, version, policy of each seam, options in effect."""

    name: str
    version: str
    policies: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    confinement: tuple[str, ...] = ()
    """Restrictions of each instance; empty if there are none or before ``deploy``."""
    isolation_gaps: tuple[str, ...] = ()
    """Isolation gaps, as in ``SystemTrace.isolation_gaps``."""


class ServingSystem(ABC):
    """A system under test. Use an object once: check, deploy, send load, stop, system trace."""

    name: ClassVar[str]
    kind: ClassVar[Literal["serverless", "serverful", "external"]]
    summary: ClassVar[str]
    traces: ClassVar[bool] = False
    """Whether it has the option ``trace_decisions``: to record decisions that it otherwise does
    not."""
    audits: ClassVar[bool] = False
    """Whether the system supports the option ``audit_s``: seconds between checksums of the
    memory that its processes share. A changed checksum fails the run."""
    served_with: ClassVar[Mapping[str, Any]] = {}
    """Options of ``slbench serve`` unless its user gives others: what a person at a prompt expects.
    Experiments have the defaults of the options."""
    clusters: ClassVar[bool] = False
    """Whether the system can be deployed on several machines."""
    isolation_levels: ClassVar[tuple[Isolation, ...]] = ()
    """The isolation levels at which the system can be deployed. Empty: the
    system has no levels, and ``Deployment.isolation`` must be the default."""

    @classmethod
    def known_policies(cls) -> Mapping[str, Sequence[str]]:
        """Return the policy names that ``Deployment.policies`` may use, by seam; empty for a
        system without policies."""
        return {}

    @classmethod
    def check_isolation(cls, level: Isolation) -> None:
        """Raise ``DeploymentError`` if the system cannot be deployed at this isolation level."""
        if level not in (cls.isolation_levels or ("function",)):
            levels = ", ".join(cls.isolation_levels) or "none (serverless systems have levels)"
            raise DeploymentError(
                f"isolation {level}: system {cls.name} does not have this level; it has {levels}"
            )

    @classmethod
    def check_simulated(cls, deployment: Deployment, profile: Any, adapter_rank: int) -> None:  # noqa: ARG003
        """Raise :class:`SystemsError` if ``deployment``, with adapters of ``adapter_rank``, cannot
        be simulated with ``profile`` (a ``systems.simulation.profile.Profile``), or could never
        answer. Unless a system can tell, nothing is refused."""
        return

    def configure(self, deployment: Deployment) -> None:
        """Take the options and policies of this system from ``deployment``; :meth:`info` reports
        them from then on. Raise ``PolicyError`` if the system has no such policies, and
        ``DeploymentError`` if it does not have the deployment's isolation level."""
        self.check_isolation(deployment.isolation)
        if deployment.policies:
            seams = ", ".join(deployment.policies)
            raise PolicyError(f"system {self.name} has no policies that can be replaced: {seams}")

    @abstractmethod
    def check(self, deployment: Deployment) -> None:
        """Raise :class:`SystemsError` if the deployment cannot be served. Start nothing."""

    @abstractmethod
    def deploy(self, deployment: Deployment) -> Endpoint:
        """Start the system and return when its endpoint responds. Raises :class:`SystemsError`."""

    @abstractmethod
    def info(self) -> SystemInfo: ...

    @abstractmethod
    def system_trace(self) -> SystemTrace:
        """Return the system trace since ``deploy``. Callable while serving and after ``stop``."""

    @abstractmethod
    def stop(self) -> None:
        """End all processes; free all memory, ports and files. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
