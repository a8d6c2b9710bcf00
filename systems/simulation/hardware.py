"""The resources of devices: their own, and those shared by the devices of a host."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .clock import Clock, Shared
from .cores import Cores
from .engine_numbers import Beside
from .number import value_of
from .page_cache import PageCache
from .profile import Profile
from .turns import BATCH, Kind, take_turns


@dataclass(frozen=True, slots=True)
class Hardware:
    """Resources of a device: its compute and link, its host's cores and the files of its backbones.
    A device that computes on the host's cores also copies with them."""

    cores: Shared
    files: PageCache
    link: Shared
    copies: Shared
    """Loads of private copies from host memory."""
    peers: Shared
    """The link to other devices of the node, for those that copy from this one."""
    compute: Shared
    """Batches."""
    starts: Shared
    """Engines being built."""
    takeovers: Shared
    """Prewarmed processes that become instances."""
    preparation: Shared
    """Idle engines that prepare shapes."""


def devices_per_node(profile: Profile) -> int:
    return max(int(profile.devices_per_node.value), 1)


def hardware(devices: Iterable[str], clock: Clock, profile: Profile) -> Mapping[str, Hardware]:
    """Return the resources by device; the profile says how many devices share a host."""
    slots = profile.device_slots.value
    per_node = devices_per_node(profile)
    found: dict[str, Hardware] = {}
    for index, device in enumerate(devices):
        if index % per_node == 0:
            cores = Cores(clock, profile.cores.value, value_of(profile.core_beside))
            files = PageCache(_disk(clock, profile, cores))
        link = Shared(clock, 1) if slots else cores
        copies = _copies(clock, profile) or link
        own = _compute(clock, profile) if slots else (cores,) * 4
        found[device] = Hardware(cores, files, link, copies, Shared(clock, 1), *own)
    return found


def _disk(clock: Clock, profile: Profile, cores: Cores) -> Shared | None:
    if profile.disk_bytes_per_s is None:
        return None
    return Shared(clock, 1) if profile.device_slots.value else cores


def _copies(clock: Clock, profile: Profile) -> Shared | None:
    """Return the loads of private copies, each at the speed of its own process; None: they share
    the link."""
    beside = profile.private_beside
    return None if beside is None else Cores(clock, math.inf, beside.value)


def _compute(clock: Clock, profile: Profile) -> Sequence[Shared]:
    """Return the compute of a device for batches, starts, takeovers and preparation. They are one
    resource if the profile does not say how they differ."""
    beside = (
        profile.batches_beside,
        profile.starts_beside,
        profile.takeover_beside,
        profile.preparation_beside,
    )
    if profile.device_slots.value != 1 or not any(beside):
        return (Shared(clock, profile.device_slots.value),) * len(beside)
    return take_turns(clock, [_kind(each) for each in beside])


def _kind(beside: Beside | None) -> Kind:
    return BATCH if beside is None else Kind(beside.share.value, beside.waits.value)
