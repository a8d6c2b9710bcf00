"""The resources of devices: their own, and those shared by the devices of a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .clock import Clock, Shared
from .cores import Cores
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
    compute: Shared
    """Batches."""
    starts: Shared
    """Engines being built."""
    preparation: Shared
    """Idle engines that prepare shapes."""


def hardware(devices: Iterable[str], clock: Clock, profile: Profile) -> Mapping[str, Hardware]:
    """Return the resources by device; the profile says how many devices share a host."""
    slots = profile.device_slots.value
    per_node = max(int(profile.devices_per_node.value), 1)
    found: dict[str, Hardware] = {}
    for index, device in enumerate(devices):
        if index % per_node == 0:
            cores = Cores(clock, profile.cores.value, value_of(profile.core_beside))
            files = PageCache(Shared(clock, 1) if slots else cores)
        link = Shared(clock, 1) if slots else cores
        own = _compute(clock, profile) if slots else (cores,) * 3
        found[device] = Hardware(cores, files, link, *own)
    return found


def _compute(clock: Clock, profile: Profile) -> tuple[Shared, Shared, Shared]:
    """Return the compute of a device for batches, starts and preparation. They are one resource if
    the profile does not say how they differ."""
    slots, beside = profile.device_slots.value, (profile.starts_beside, profile.preparation_beside)
    kinds = [None if each is None else Kind(each.share.value, each.waits.value) for each in beside]
    if slots != 1 or not any(kinds):
        return (Shared(clock, slots),) * 3
    batches, starts, preparation = take_turns(clock, [BATCH, *(kind or BATCH for kind in kinds)])
    return batches, starts, preparation
