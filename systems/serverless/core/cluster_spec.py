"""The facts that a controller decides by, fixed at deployment. Bytes and nanoseconds throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .artifacts import Artifact

HOST = "host"
"""The host of devices that name none."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A base model. ``bytes``: the size of one copy of its weights on a device."""

    id: str
    bytes: int


@dataclass(frozen=True, slots=True)
class BatchLatency:
    """T(b) = T0 + α(b − 1): the time to first token of a batch of b that is alone on its device."""

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
    """Device memory of a process before any weights: context and workspaces."""
    slo_ttft_ns: int
    kv_slot_bytes: int = 0
    """The bytes of a KV slot if every request takes one of the same size; else 0."""
    bare_bytes: int = 0
    """The part of ``context_bytes`` that is held until the process ends, such as a CUDA context."""
    host_bytes: int = 0
    """Host memory of its process while it is awake, in addition to what it holds on the device."""
    dormant_bytes: int = 0
    """The same while it holds nothing on a device: the container that remains."""
    law: BatchLatency = BatchLatency()
    """From the profile; corrected by observations."""
    delay_ns: Mapping[Artifact, int] = field(default_factory=dict)
    """Loading delay of each artifact from the profile; corrected by observations."""

    def kv_bytes(self, tokens: int) -> int:
        """Return the KV cache size of a request with this many tokens."""
        return self.kv_slot_bytes or tokens * self.kv_bytes_per_token

    @property
    def parked_bytes(self) -> int:
        """Device memory held while the weights are in place, beside them; released with them."""
        return self.adapter_bytes + self.context_bytes - self.bare_bytes


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A GPU, or an amount of host memory that stands in for one."""

    id: str
    memory_bytes: int
    slots: int = 1
    """Batches that it computes at full speed at once: 1 on a GPU; on a CPU, as many as its cores
    have threads for."""
    host: str = HOST
    """The machine that it belongs to; each host has its own template and containers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and timeouts that belong to no policy."""

    max_batch_size: int = 8
    max_context_tokens: int = 1024
    keep_alive_ns: int = 10_000_000_000
    """How long an idle instance stays ready to serve."""
    shared_keep_alive_ns: int = 60_000_000_000
    """How long a shared backbone is kept after its last instance."""
    container_keep_alive_ns: int = 60_000_000_000
    """How long after its last request an instance may still hold any artifact."""
    container_memory_bytes: int = 1 << 62
    """Memory of each host for instances that hold nothing on a device."""
    eager_backbone: bool = True
    """Whether a shared backbone is read while its first instance still starts."""
    template_bytes: int = 0
    """Bytes of the template, on the device of the first fork of a host."""
    template_host_bytes: int = 0
    """Host memory of the template, unless host memory stands in for the device."""
    template_at_deployment: bool = False
    """Whether each host starts its template before the first request, not because of it."""
    release_grace_ns: int = 30_000_000_000
    """How long an instance may take to release a request that was cancelled or timed out."""
    start_attempts: int = 2
    """The number of failed starts after which the requests that wait for an instance fail."""


@dataclass(frozen=True)
class ClusterSpec:
    """All that is deployed, and the devices it may use."""

    backbones: Mapping[str, BackboneSpec]
    functions: Mapping[str, FunctionSpec]
    devices: Mapping[str, DeviceSpec]
    settings: Settings = Settings()
