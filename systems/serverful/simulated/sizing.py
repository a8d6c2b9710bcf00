"""Assigns replicas to devices and computes how many requests fit beside their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from systems.errors import DeploymentError
from systems.interface import Device


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of a replica of ``backbone``: its constant memory, the memory of one request of full
    length, both in bytes, and the wanted concurrent requests; ``most`` allows fewer."""

    backbone: str
    fixed_bytes: int
    request_bytes: int
    batch: int
    most: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    device: Device
    batch: int


def fit(replicas: Sequence[Needs], devices: Sequence[Device]) -> list[Fitted]:
    """Assign devices in turn. Replicas on one device get equal shares of what their weights leave
    free. Raise ``DeploymentError`` if a replica does not fit."""
    on = [devices[number % len(devices)] for number in range(len(replicas))]
    taken: Counter[str] = Counter()
    for device, each in zip(on, replicas, strict=True):
        taken[device.name] += each.fixed_bytes
    sharing = Counter(device.name for device in on)
    return [
        Fitted(device, _batch(each, device, taken[device.name], sharing[device.name]))
        for device, each in zip(on, replicas, strict=True)
    ]


def _batch(needs: Needs, device: Device, taken: int, sharing: int) -> int:
    room = max(0, device.memory_bytes - taken) // sharing // needs.request_bytes
    asked = 1 if needs.most else needs.batch
    if room < asked:
        raise DeploymentError(
            f"device {device.name}: of {device.memory_bytes / 1e9:.1f} GB weights, adapters and"
            f" processes take {taken / 1e9:.1f}; that leaves a replica of {needs.backbone} room for"
            f" {room} requests of {needs.request_bytes / 1e9:.2f} GB at once, {asked} asked: give"
            " more devices, more memory, or a smaller max_num_seqs"
        )
    return min(needs.batch, room)
