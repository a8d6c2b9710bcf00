"""What every serving system offers, and what it is asked to serve.

The harness knows a system by this module alone: ``deploy`` brings up an OpenAI-compatible
endpoint, ``evidence`` tells what the system itself saw, ``stop`` leaves nothing behind.
All times are integer nanoseconds of ``time.monotonic_ns`` on the system's host.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Int64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
"""What a column of 64 bits holds."""


class Stage(enum.StrEnum):
    """What a request waits for, in the order in which a cold one does."""

    QUEUE = "queue"
    WARMING = "warming"
    LIBRARIES = "libraries"
    BACKBONE = "backbone"
    ADAPTER = "adapter"
    KERNELS = "kernels"
    PREFILL = "prefill"
    DECODE = "decode"


class Temperature(enum.StrEnum):
    """Cold: something had to be started or loaded for want of a live instance; warm: an instance
    was there but an artifact was not where it runs; hot: everything was in place."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


class MemoryOwner(enum.StrEnum):
    """To what a byte of device or host memory belongs."""

    WEIGHTS = "weights"
    ADAPTERS = "adapters"
    KV = "kv"
    CONTEXT = "context"
    HOST_TIER = "host_tier"
    OTHER = "other"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Function(_Frozen):
    """What a tenant deploys: a backbone, an adapter of it (``None``: the bare backbone), an SLO."""

    id: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    backbone: str
    adapter: Path | None = None
    slo_ttft_s: PositiveFloat = 2.5

    @property
    def adapter_id(self) -> str:
        return self.adapter.name if self.adapter else ""


class Device(_Frozen):
    """A GPU, or on a machine without one a budget of host memory that stands in for it."""

    name: str = Field(pattern=r"^(cpu|cuda):\d+$")
    memory_bytes: PositiveInt

    @property
    def kind(self) -> Literal["cpu", "cuda"]:
        return "cuda" if self.name.startswith("cuda") else "cpu"


class Limits(_Frozen):
    """Bounds that every system of a comparison is given alike."""

    max_batch_size: PositiveInt = 8
    max_context_tokens: PositiveInt = 1024
    keep_alive_s: PositiveFloat = 10.0
    request_timeout_s: PositiveFloat = 120.0
    threads_per_instance: PositiveInt | None = None
    """CPU threads of one instance's engine; ``None``: on the CPU as many as there are cores, on a
    card the one that launches what it does."""


class Deployment(_Frozen):
    """Functions and what they may use. The same for every system that is compared."""

    functions: tuple[Function, ...] = Field(min_length=1)
    backbones: Mapping[str, Path]
    devices: tuple[Device, ...] = Field(min_length=1)
    limits: Limits = Limits()
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free one."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of one system, checked by it."""
    cluster: str | None = None
    """The nodes that have these devices, each its own: ``local:N`` for N on this machine, or the
    address of a Ray cluster; None: this machine is all there is."""

    def instance_threads(self, cores: int) -> int:
        """CPU threads of one instance, on a machine of so many cores."""
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
    """Where the requests of one function go, and the model name that they carry there."""

    base_url: str
    model: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a deployed system answers. ``models`` are the names a request may carry."""

    base_url: str
    models: tuple[str, ...]
    pids: tuple[int, ...] = ()
    """Roots of the process trees that belong to the system, for telemetry; empty if unseen."""
    routes: Mapping[str, Route] = field(default_factory=dict)
    """By name of ``models``, where it is not ``base_url`` and that name."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request and never recorded: a key may be among them."""

    def route(self, model: str) -> Route:
        return self.routes.get(model) or Route(self.base_url, model)


@dataclass(frozen=True, slots=True)
class Span:
    """A stage that a request waited for, ``start_ns`` ≤ ``end_ns``."""

    stage: Stage
    start_ns: Int64
    end_ns: Int64


@dataclass(frozen=True, slots=True)
class RequestEvidence:
    """What the system saw of one request. ``request_id`` is what the client sent as
    ``X-Request-Id``. A field that a system cannot tell is ``None``."""

    request_id: str
    function_id: str
    received_ns: Int64
    responded_ns: Int64 | None = None
    """When the last bytes of the answer went to the socket. This evidence is kept before they do:
    whoever has read all of an answer is told of it."""
    temperature: Temperature | None = None
    instance_id: str | None = None
    batch_size: Int64 | None = None
    spans: tuple[Span, ...] = ()
    placed_ns: Int64 | None = None
    """When it was given to its instance, as whoever gave it saw it and not as the instance says:
    it has its share of what is billed from then on."""
    done_ns: Int64 | None = None
    """Until then: its last answer was heard, its instance was gone, or its caller had left."""


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """From ``t_ns`` on, ``owner`` holds ``bytes`` on ``device`` for ``function_id``
    (``None``: shared by several), until the next step with the same key."""

    t_ns: Int64
    device: str
    owner: MemoryOwner
    function_id: str | None
    bytes: Int64


@dataclass(frozen=True, slots=True)
class Activity:
    """An instance ran batches from ``start_ns`` to ``end_ns``, or (serverful) was held ready to;
    billed as active for that long."""

    start_ns: Int64
    end_ns: Int64
    device: str
    instance_id: str
    function_id: str | None
    """None: of several functions."""
    threads: int | None = None
    """CPU threads that it has; None: the deployment's ``threads_per_instance``."""


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """By the kernel's count an instance's processes used ``used_ns`` of processor time between
    ``start_ns`` and ``end_ns``; the last one of an instance counts. What its activities do not
    pay for is billed besides."""

    start_ns: Int64
    end_ns: Int64
    device: str
    instance_id: str
    function_id: str | None
    used_ns: Int64


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice that a system made, and the numbers that made it."""

    t_ns: Int64
    kind: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A machine that took part, by the gateway's clock. ``left_ns``: when it was lost, with
    ``reason``; None where it was there to the end."""

    host: str
    address: str
    devices: tuple[str, ...]
    joined_ns: Int64
    left_ns: Int64 | None
    reason: str
    same_clock: bool
    """Its monotonic clock is the gateway's own; otherwise its times were corrected by the
    offset."""
    offset_ns: Int64
    """Its clock less the gateway's as last measured, right to ``error_ns``."""
    error_ns: Int64
    first_offset_ns: Int64
    """The same as first measured: the difference is drift."""


@dataclass(frozen=True, slots=True)
class NodeMemoryStep:
    """What the processes of a node held of its machine's memory, as it measured itself; None
    where its kernel does not tell."""

    t_ns: Int64
    host: str
    pss_bytes: Int64 | None
    uss_bytes: Int64 | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a system saw, on its own clock. Empty where it cannot be seen from outside."""

    requests: tuple[RequestEvidence, ...] = ()
    memory: tuple[MemoryStep, ...] = ()
    activity: tuple[Activity, ...] = ()
    processor: tuple[ProcessorUse, ...] = ()
    """Where the system can tell."""
    decisions: tuple[Decision, ...] = ()
    """Where they were asked to be kept."""
    problems: tuple[str, ...] = ()
    """What went wrong inside that no client saw, a line each."""
    doubts: tuple[str, ...] = ()
    """What makes the numbers of this run less comparable without making them wrong, a line each."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """What the system measured of itself, by name with its unit: ``startup_s``, and where it
    counts them ``ttft_mean_s`` over ``ttft_n`` requests."""
    exposures: tuple[str, ...] = ()
    """What isolation lacked in this run that it has in others, a line each."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts to be kept beside the records, by file name: logs, metrics as they were scraped."""
    nodes: tuple[NodeSeen, ...] = ()
    """Of a system on several machines, those that took part."""
    node_memory: tuple[NodeMemoryStep, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """What a manifest says of a system: policies by seam, options in force."""

    name: str
    version: str
    policies: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    confinement: tuple[str, ...] = ()
    """What each instance is held to; empty where nothing is, or before it is deployed."""
    exposures: tuple[str, ...] = ()
    """As in ``Evidence.exposures``."""


class ServingSystem(ABC):
    """One system under test. Used once: deploy, load, evidence, stop."""

    name: ClassVar[str]
    kind: ClassVar[Literal["serverless", "serverful", "external"]]
    summary: ClassVar[str]
    audits: ClassVar[bool] = False
    """Whether it takes the option ``audit_s``: seconds between two sums of what its processes
    share, which fail the run where they differ."""
    clusters: ClassVar[bool] = False
    """Whether it can be deployed on several machines."""

    @abstractmethod
    def check(self, deployment: Deployment) -> None:
        """Refuse with :class:`SystemsError` what could not be served, before anything starts."""

    @abstractmethod
    def deploy(self, deployment: Deployment) -> Endpoint:
        """Start; return once the endpoint answers. Raises :class:`SystemsError`."""

    @abstractmethod
    def info(self) -> SystemInfo: ...

    @abstractmethod
    def evidence(self) -> Evidence:
        """What was seen since ``deploy``; may be called while serving and after ``stop``."""

    @abstractmethod
    def stop(self) -> None:
        """End every process and free every byte, port and file; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
