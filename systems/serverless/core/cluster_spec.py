"""The facts a controller decides on, fixed at deployment. Bytes and nanoseconds throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .artifacts import Artifact

HOST = "host"
"""The machine of devices that name no other."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A base model; ``bytes`` is one copy of its weights on a device."""

    id: str
    bytes: int


@dataclass(frozen=True, slots=True)
class BatchLatency:
    """T(b) = T0 + α(b − 1): how long a batch of b takes to its first tokens, alone on its
    device."""

    first_ns: int = 0
    further_ns: int = 0

    def ttft_ns(self, batch: int) -> int:
        return self.first_ns + self.further_ns * (batch - 1)


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A LoRA function, or a bare backbone where ``adapter_bytes`` is 0."""

    id: str
    backbone: str
    adapter_bytes: int
    kv_bytes_per_token: int
    context_bytes: int
    """What a process costs on its device before any weight: context, workspaces."""
    slo_ttft_ns: int
    kv_slot_bytes: int = 0
    """Where keys and values of every request take a slot of one size: its bytes; else 0."""
    bare_bytes: int = 0
    """Of ``context_bytes``, what stays on the device until the process ends, such as a CUDA
    context."""
    host_bytes: int = 0
    """What its process holds of the host's memory beside its device, while it is awake."""
    dormant_bytes: int = 0
    """The same while nothing of it is on a device: the container that is left."""
    law: BatchLatency = BatchLatency()
    """As profiled; corrected by what is observed."""
    delay_ns: Mapping[Artifact, int] = field(default_factory=dict)
    """Loading delay of each artifact as profiled; corrected by what is observed."""

    def kv_bytes(self, tokens: int) -> int:
        """What keys and values of a request of so many tokens take."""
        return self.kv_slot_bytes or tokens * self.kv_bytes_per_token

    @property
    def parked_bytes(self) -> int:
        """What weights in place cost on the device beside those, and come back without them."""
        return self.adapter_bytes + self.context_bytes - self.bare_bytes


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A GPU, or the budget of host memory that stands in for one."""

    id: str
    memory_bytes: int
    slots: int = 1
    """Batches that it computes at full speed at once: one on a GPU, on a CPU as many as its cores
    have threads for."""
    host: str = HOST
    """The machine it is part of: instances there have a template and containers of their own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds and time-outs that no policy owns."""

    max_batch_size: int = 8
    max_context_tokens: int = 1024
    keep_alive_ns: int = 10_000_000_000
    """How long an idle instance stays ready to serve."""
    shared_keep_alive_ns: int = 60_000_000_000
    """How long a shared backbone outlives its last instance."""
    container_keep_alive_ns: int = 60_000_000_000
    """How long after its last request an instance may still hold any artifact at all."""
    container_memory_bytes: int = 1 << 62
    """Of each host's memory, for instances of which nothing is left on a device."""
    eager_backbone: bool = True
    """Whether a shared backbone is read while its first instance still starts."""
    template_bytes: int = 0
    """What the process holds that instances are forked from, on the device of a host's first
    fork."""
    template_host_bytes: int = 0
    """The same of its host's memory, where that is not what stands in for the device."""
    template_at_deployment: bool = False
    """Whether each host has its template before the first call, and not by it."""
    release_grace_ns: int = 30_000_000_000
    """How long an instance may take to let go of a request that was cancelled or timed out."""
    start_attempts: int = 2
    """Instances that may die while starting before the requests that wait for them fail."""


@dataclass(frozen=True)
class ClusterSpec:
    """Everything that is deployed and everything it may use."""

    backbones: Mapping[str, BackboneSpec]
    functions: Mapping[str, FunctionSpec]
    devices: Mapping[str, DeviceSpec]
    settings: Settings = Settings()
