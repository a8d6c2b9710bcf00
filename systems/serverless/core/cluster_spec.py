"""The facts that a controller decides by, fixed at deployment. Bytes and nanoseconds throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from systems.request_limits import UNLIMITED, RequestLimits

from .artifacts import PRECEDENCE, SHARED, Artifact, CopyKey

HOST = "host"
"""The host of devices that name none."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """A base model. ``bytes``: the size of one copy of its weights on a device; ``pool_bytes``: of
    the warm pool of each of its shared copies, on the copy's device."""

    id: str
    bytes: int
    pool_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BatchLatency:
    """T(b) = T0 + α(b − 1): the time to first token of a batch of b that is alone on its device."""

    first_ns: int = 0
    further_ns: int = 0

    def ttft_ns(self, batch: int) -> int:
        return self.first_ns + self.further_ns * (batch - 1)


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A LoRA function, or a bare backbone where ``adapter_bytes`` is 0. ``group``: the group whose
    instances serve it. ``tenant``: who gets a fair share with it; where all have the same, nothing
    is shared fairly."""

    id: str
    group: str
    slo_ttft_ns: int
    adapter_bytes: int = 0
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """The functions that share instances, and what one instance needs. Without ``places`` it is one
    function, whose adapter is an artifact of its instances."""

    id: str
    backbone: str
    functions: tuple[str, ...]
    kv_bytes_per_token: int
    context_bytes: int
    """Device memory of a process before any weights: context and workspaces."""
    batch_limit: int
    """The largest number of requests that an instance runs at the same time."""
    joins: bool = True
    """Whether a batch may join the requests that its instance runs; else it waits for them."""
    places: int = 0
    """The number of adapters that an instance can hold at the same time."""
    adapter_bytes: int = 0
    """Device memory of the adapter of a group without places; it is held beside the weights."""
    places_bytes: int = 0
    """Device memory of all places of an instance; it is held beside the kernels."""
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
    step_ns: int = 0
    """The time of one decode step of a request that is alone on its device, from the profile; 0:
    unknown."""
    delay_ns: Mapping[Artifact, int] = field(default_factory=dict)
    """Loading delay of each artifact from the profile; corrected by observations."""
    peer_ns: int = 0
    """The same of a backbone that another device of the host holds."""

    def kv_bytes(self, tokens: int) -> int:
        """Return the KV cache size of a request with this many tokens."""
        return self.kv_slot_bytes or tokens * self.kv_bytes_per_token

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifacts of an instance, in order of precedence."""
        return SHARED if self.places else PRECEDENCE

    @property
    def function(self) -> str | None:
        """The only function; None if there are several."""
        return None if self.places else self.functions[0]

    @property
    def label(self) -> str:
        """What error messages call it."""
        return f"function {self.id}" if self.function else f"the functions of {self.id}"

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
    backbones_at_deployment: bool = False
    """Whether each host loads the shared backbones that fit before the first request."""
    backbones_on_every_device: bool = False
    """Whether it then loads them on all of its devices, not on one."""
    adapters_at_deployment_bytes: int = 0
    """Each host parses as many adapters of shared groups before the first request as fit these
    bytes."""
    peer_copies: bool = False
    """Whether a backbone is copied from another device of the host that has it, not read again."""
    standby_bytes: int = 0
    """Bytes of the loader that stands by on each device of a host that has a template."""
    release_grace_ns: int = 30_000_000_000
    """How long an instance may take to release a request that was cancelled or timed out."""
    start_attempts: int = 2
    """The number of failed starts after which the requests that wait for an instance fail."""
    function_limits: RequestLimits = UNLIMITED
    """What each function may have in flight and waiting, and how often it may be called."""


@dataclass(frozen=True)
class ClusterSpec:
    """All that is deployed, and the devices it may use."""

    backbones: Mapping[str, BackboneSpec]
    groups: Mapping[str, GroupSpec]
    functions: Mapping[str, FunctionSpec]
    devices: Mapping[str, DeviceSpec]
    settings: Settings = Settings()

    def group_of(self, function: str) -> GroupSpec:
        """Return the group whose instances serve ``function``."""
        return self.groups[self.functions[function].group]

    def adapters_of(self, group: GroupSpec) -> set[str]:
        """Return the functions of ``group`` that have an adapter; a backbone can be called without
        one."""
        return {each for each in group.functions if self.functions[each].adapter_bytes}

    def prepared_at_deployment(self) -> list[str]:
        """Return the functions whose adapters each host prepares before the first request: of those
        that share instances the first, as far as they fit the bytes that settings allow."""
        found, left = [], self.settings.adapters_at_deployment_bytes
        for function in self.functions.values() if left else ():
            if self.groups[function.group].places and function.adapter_bytes:
                left -= function.adapter_bytes
                if left < 0:
                    break
                found.append(function.id)
        return found

    def copy_bytes(self, key: CopyKey) -> int:
        """Return the device memory of a copy: its weights and, if it is shared, its warm pool."""
        backbone = self.backbones[key.backbone]
        return backbone.bytes + (backbone.pool_bytes if key.shared else 0)
