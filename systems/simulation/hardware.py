"""The resources of devices: their own, and those shared by the devices of a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .clock import Clock, Shared
from .page_cache import PageCache
from .profile import Profile


@dataclass(frozen=True, slots=True)
class Hardware:
    """Resources of a device: its compute and link, its host's cores and the files of its backbones.
    A device that computes on the host's cores also copies with them."""

    cores: Shared
    files: PageCache
    link: Shared
    compute: Shared


def hardware(devices: Iterable[str], clock: Clock, profile: Profile) -> Mapping[str, Hardware]:
    """Return the resources by device; the profile says how many devices share a host."""
    slots = profile.device_slots.value
    per_node = max(int(profile.devices_per_node.value), 1)
    found: dict[str, Hardware] = {}
    for index, device in enumerate(devices):
        if index % per_node == 0:
            cores = Shared(clock, profile.cores.value)
            files = PageCache(Shared(clock, 1) if slots else cores)
        link = Shared(clock, 1) if slots else cores
        compute = Shared(clock, slots) if slots else cores
        found[device] = Hardware(cores, files, link, compute)
    return found
