"""The servers of a deployment in virtual time: contents, devices and timings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from systems.engine.cuda.buckets import slot_bytes
from systems.interface import Deployment
from systems.models.sizes import model_size
from systems.serverful.inhouse.options import Options
from systems.serverful.inhouse.schemes import Scheme
from systems.simulation.profile import Profile

from .holdings import ReplicaBytes
from .latency import ReplicaLatencyModel
from .sizing import Fitted, Needs, fit


@dataclass(frozen=True)
class Server:
    """The server of one ``backbone``. ``adapters``: by function, with the backbone under its own
    name; ``timings``: what its replicas would have measured before they served."""

    backbone: str
    adapters: Mapping[str, str | None]
    latency: ReplicaLatencyModel
    timings: Mapping[str, float]

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(adapter for adapter in self.adapters.values() if adapter)

    @property
    def capacity(self) -> int:
        """The adapters of a replica, unless the options limit them."""
        return max(1, len(self.held))

    @property
    def weights_bytes(self) -> int:
        """Weights of a replica; one that merges (and was timed) holds a copy of what it writes."""
        size = self.latency.size
        return size.weights_bytes + (size.adapted_bytes if self.timings else 0)

    @property
    def process_bytes(self) -> int:
        return round(self.latency.servers.process_bytes.value)


@dataclass(frozen=True)
class Staffed:
    """A server with the devices of its replicas and their maximum concurrent requests."""

    server: Server
    replicas: Sequence[Fitted]
    bytes: Sequence[ReplicaBytes]

    @property
    def batch(self) -> int:
        return min(each.batch for each in self.replicas)


def servers(
    scheme: Scheme, deployment: Deployment, profile: Profile, dtype: str, rank: int
) -> list[Server]:
    """Plan the servers. ``ProfileError`` if the profile lacks servers that store ``dtype``."""
    kind = deployment.devices[0].kind
    found = []
    for backbone in dict.fromkeys(function.backbone for function in deployment.functions):
        size = model_size(str(deployment.backbones[backbone]), dtype, rank, kind)
        latency = ReplicaLatencyModel.of(profile, size, dtype)
        adapters = {
            each.id: each.id if each.adapter else None
            for each in deployment.functions
            if each.backbone == backbone
        }
        timings = latency.timings() if scheme.profile and any(adapters.values()) else {}
        found.append(Server(backbone, {**adapters, backbone: None}, latency, timings))
    return found


def staff(
    planned: Sequence[Server], deployment: Deployment, options: Options, profile: Profile
) -> list[Staffed]:
    """Assign devices. Raise ``DeploymentError`` if the replicas do not fit their devices."""
    needs = [_needs(server, deployment, options, profile) for server in planned]
    count = options.count
    fitted = fit([each for each in needs for _ in range(count)], deployment.devices)
    found = []
    for number, server in enumerate(planned):
        mine = fitted[number * count : (number + 1) * count]
        held = [_bytes(server, each, deployment, profile) for each in mine]
        found.append(Staffed(server, mine, held))
    return found


def _needs(server: Server, deployment: Deployment, options: Options, profile: Profile) -> Needs:
    size = server.latency.size
    capacity = options.max_adapters or server.capacity
    return Needs(
        server.backbone,
        server.weights_bytes + server.process_bytes + capacity * size.adapter_bytes,
        _request_bytes(server, deployment, profile),
        options.batch(deployment, len(server.adapters) - 1),
        most=options.max_num_seqs is None,
    )


def _request_bytes(server: Server, deployment: Deployment, profile: Profile) -> int:
    """Return the KV cache of the longest request in bytes."""
    tokens, each = deployment.limits.max_context_tokens, server.latency.size.kv_bytes_per_token
    return slot_bytes(each, tokens) if profile.kv_slots else tokens * each


def _bytes(
    server: Server, fitted: Fitted, deployment: Deployment, profile: Profile
) -> ReplicaBytes:
    slot = _request_bytes(server, deployment, profile) if profile.kv_slots else None
    return ReplicaBytes(fitted.device.name, server.weights_bytes, server.process_bytes, slot)
