"""Checkpoints in a node's page cache."""

from __future__ import annotations

import pytest

from systems.models.sizes import model_size
from systems.simulation.clock import Clock
from systems.simulation.hardware import hardware
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import load_profile

L40S = load_profile("l40s")
MODEL = LatencyModel(L40S, model_size("llama2-7b", "float16", 16, "cuda"))
DISK_S, TIER_S = (MODEL.backbone_ns(cached=cached, private=False) / 1e9 for cached in (False, True))
DEVICES = [f"cuda:{number}" for number in range(16)]  # two nodes


def took_s(loads: list[tuple[float, str, str]]) -> list[float]:
    """Return how long each load takes: its time, its device, its backbone."""
    clock = Clock()
    there, found = hardware(DEVICES, clock, L40S), [0.0] * len(loads)

    def load(number: int, at_s: float, device: str, backbone: str) -> None:
        def done() -> None:
            found[number] = clock.now / 1e9 - at_s

        clock.at(round(at_s * 1e9), lambda: there[device].files.read(backbone, MODEL, done))

    for number, each in enumerate(loads):
        load(number, *each)
    clock.run()
    return found


def test_only_the_first_load_of_a_node_comes_from_the_disk() -> None:
    loads = [(0.0, "cuda:0", "a"), (10.0, "cuda:0", "a"), (20.0, "cuda:7", "a")]
    assert took_s(loads) == pytest.approx([DISK_S, TIER_S, TIER_S], rel=1e-6)


def test_nodes_and_backbones_have_a_first_load_each() -> None:
    loads = [(0.0, "cuda:0", "a"), (10.0, "cuda:8", "a"), (20.0, "cuda:0", "b")]
    assert took_s(loads) == pytest.approx([DISK_S] * 3, rel=1e-6)


def test_a_load_beside_the_first_one_waits_for_it() -> None:
    first, second = took_s([(0.0, "cuda:0", "a"), (1.0, "cuda:1", "a")])
    assert first == pytest.approx(DISK_S, rel=1e-6)
    assert second == pytest.approx(DISK_S - 1.0 + TIER_S, rel=1e-6)
