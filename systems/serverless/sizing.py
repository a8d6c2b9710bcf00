"""Builds the controller's cluster spec of a deployment, for live and simulated platforms.

The sizes differ by platform: a live one takes them from files and its options, a simulated one from
its profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from systems.engine.cuda.buckets import slot_bytes
from systems.grouping import groups
from systems.interface import Deployment, Function, Limits
from systems.simulation.regimes import REGIMES

from .core.artifacts import Artifact
from .core.cluster_spec import (
    HOST,
    BackboneSpec,
    BatchLatency,
    ClusterSpec,
    DeviceSpec,
    FunctionSpec,
    GroupSpec,
    Settings,
)
from .options import Options


@dataclass(frozen=True, slots=True)
class FunctionSize:
    """Bytes that a function adds to its backbone, and initial estimates of its durations in ns."""

    adapter_bytes: int
    kv_bytes_per_token: int
    law: BatchLatency = field(default_factory=BatchLatency)
    step_ns: int = 0
    delay_ns: Mapping[Artifact, int] = field(default_factory=dict)
    peer_ns: int = 0


@dataclass(frozen=True, slots=True)
class MachineSize:
    """Capacity of a machine, and memory of a process without weights, adapter, keys and values.
    Bytes; as in :class:`GroupSpec` and :class:`Settings`."""

    slots: int
    """Batches that a device computes at full speed at once."""
    kv_slots: bool
    """Whether every request reserves a KV slot for a full context."""
    context_bytes: int
    bare_bytes: int
    host_bytes: int
    dormant_bytes: int
    template_bytes: int
    template_host_bytes: int
    reserved_bytes: int = 0
    """Memory of each device that no instance may use."""
    peer_access: bool = False
    """Whether a device can copy from another one of its host."""
    devices_per_host: int | None = None
    """None: all devices are of one host."""

    def host_of(self, index: int, devices: int) -> str:
        """Return the host of the device with this index, of so many."""
        if self.devices_per_host is None or devices <= self.devices_per_host:
            return HOST
        return f"{HOST}-{index // self.devices_per_host}"


def make_cluster_spec(
    deployment: Deployment,
    options: Options,
    machine: MachineSize,
    backbones: Mapping[str, int],
    functions: Mapping[Function, FunctionSize],
    *,
    forks: bool,
) -> ClusterSpec:
    """Build the cluster spec. ``backbones``: bytes of the weights by name; ``forks``: whether
    instances are forked from a template."""
    members_of = groups(functions, deployment.isolation)
    made = {
        name: _group(name, members, functions, machine, deployment.limits, options)
        for name, members in members_of.items()
    }
    peers = machine.peer_access and options.peer_copies and len(deployment.devices) > 1
    on_cards = deployment.devices[0].kind == "cuda"
    pool_bytes = options.pool_bytes(made.values()) if on_cards else {}
    return ClusterSpec(
        backbones={
            name: BackboneSpec(name, size, pool_bytes.get(name, 0) if forks else 0)
            for name, size in backbones.items()
        },
        groups=made,
        functions={
            member.id: FunctionSpec(
                member.id,
                name,
                round(member.slo_ttft_s * 1e9),
                functions[member].adapter_bytes,
                (member.tenant or member.id) if options.fair_shares else "",
            )
            for name, members in members_of.items()
            for member in members
        },
        devices={
            device.name: DeviceSpec(
                device.name,
                device.memory_bytes - machine.reserved_bytes,
                machine.slots,
                machine.host_of(index, len(deployment.devices)),
            )
            for index, device in enumerate(deployment.devices)
        },
        settings=_settings(deployment, options, machine, peers=peers, forks=forks),
    )


def _group(
    name: str,
    members: Sequence[Function],
    functions: Mapping[Function, FunctionSize],
    machine: MachineSize,
    limits: Limits,
    options: Options,
) -> GroupSpec:
    """Build the spec of a group. All its functions have one backbone, so the sizes of the first
    hold for all, except that a place takes the largest adapter."""
    size, shared = functions[members[0]], len(members) > 1
    adapters = [
        size.adapter_bytes for member in members if (size := functions[member]).adapter_bytes
    ]
    adapter_bytes = max(adapters, default=0)
    places = max(1, min(options.adapter_places, len(adapters))) if shared else 0
    slot = slot_bytes(size.kv_bytes_per_token, limits.max_context_tokens)
    return GroupSpec(
        id=name,
        backbone=members[0].backbone,
        functions=tuple(member.id for member in members),
        batch_limit=options.batch_limit(limits.max_batch_size, len(members)),
        joins=REGIMES[options.regime].joins,
        places=places,
        adapter_bytes=0 if shared else adapter_bytes,
        places_bytes=places * adapter_bytes,
        kv_bytes_per_token=size.kv_bytes_per_token,
        kv_slot_bytes=slot if machine.kv_slots else 0,
        context_bytes=machine.context_bytes,
        bare_bytes=machine.bare_bytes,
        host_bytes=machine.host_bytes,
        dormant_bytes=machine.dormant_bytes,
        law=size.law,
        step_ns=size.step_ns,
        delay_ns=size.delay_ns,
        peer_ns=size.peer_ns,
    )


def _settings(
    deployment: Deployment,
    options: Options,
    machine: MachineSize,
    *,
    peers: bool,
    forks: bool,
) -> Settings:
    """``peers``: whether backbones are copied from device to device."""
    limits = deployment.limits
    return Settings(
        max_context_tokens=limits.max_context_tokens,
        keep_alive_ns=round(limits.keep_alive_s * 1e9),
        shared_keep_alive_ns=round(options.shared_keep_alive_s * 1e9),
        container_keep_alive_ns=round(options.container_keep_alive_s * 1e9),
        container_memory_bytes=round(options.container_memory_gib * 2**30),
        template_bytes=machine.template_bytes if forks else 0,
        template_host_bytes=machine.template_host_bytes if forks else 0,
        peer_copies=peers,
        standby_bytes=machine.bare_bytes if peers and forks and options.prewarmed else 0,
        template_at_deployment=options.early_template,
        backbones_at_deployment=bool(options.backbones_at_deployment),
        backbones_on_every_device=options.backbones_at_deployment == "every-device",
        adapters_at_deployment_bytes=(
            options.adapter_tier_bytes if options.adapters_at_deployment else 0
        ),
        release_grace_ns=round(options.release_grace_s * 1e9),
        start_attempts=options.start_attempts,
        function_limits=options.function_limits,
        eager_backbone=options.overlap_loading,
    )
