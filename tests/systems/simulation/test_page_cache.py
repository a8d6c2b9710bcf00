"""Checkpoints in a node's page cache."""

from __future__ import annotations

from functools import partial

import pytest

from systems.models.sizes import model_size
from systems.simulation.clock import Clock
from systems.simulation.hardware import hardware
from systems.simulation.latency_model import LatencyModel
from systems.simulation.number import Number
from systems.simulation.profile import Profile, load_profile

L40S = load_profile("l40s")
MODEL = LatencyModel(L40S, model_size("llama2-7b", "float16", 16, "cuda"))
DISK_S, TIER_S = (MODEL.backbone_ns(cached=cached, private=False) / 1e9 for cached in (False, True))
DEVICES = [f"cuda:{number}" for number in range(16)]  # two nodes


def took_s(
    loads: list[tuple[float, str, str]], profile: Profile = L40S, *, private: bool = False
) -> list[float]:
    """Return how long each load takes: its time, its device, its backbone."""
    clock = Clock()
    there, found = hardware(DEVICES, clock, profile), [0.0] * len(loads)

    def load(number: int, at_s: float, device: str, backbone: str) -> None:
        reader = there[device]
        link = reader.copies if private else reader.link

        def done() -> None:
            found[number] = clock.now / 1e9 - at_s

        read = partial(reader.files.read, backbone, MODEL, link, done)
        clock.at(round(at_s * 1e9), read)

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


def test_devices_read_host_memory_over_links_of_their_own() -> None:
    before = [(0.0, "cuda:0", "a")]
    _, one, other = took_s([*before, (10.0, "cuda:0", "a"), (10.0, "cuda:1", "a")])
    assert (one, other) == pytest.approx((TIER_S, TIER_S), rel=1e-6)
    _, one, other = took_s([*before, (10.0, "cuda:0", "a"), (10.0, "cuda:0", "a")])
    assert (one, other) == pytest.approx((2 * TIER_S, 2 * TIER_S), rel=1e-6)


def test_private_copies_at_once_take_as_much_longer_as_the_profile_says() -> None:
    slowed = Number(value=0.2, kind="measured", source="of this test")
    profile = L40S.model_copy(update={"private_beside": slowed})
    loads = [(0.0, "cuda:0", "a"), *[(10.0, "cuda:0", "a")] * 3, (10.0, "cuda:1", "a")]
    _, *three, alone = took_s(loads, profile, private=True)
    assert [*three, alone] == pytest.approx([1.4 * TIER_S] * 3 + [TIER_S], rel=1e-6)


def test_files_that_are_in_host_memory_from_the_start_come_from_no_disk() -> None:
    profile = L40S.model_copy(update={"disk_bytes_per_s": None})
    loads = [(0.0, "cuda:0", "a"), (0.1, "cuda:1", "a"), (0.1, "cuda:2", "b")]
    assert took_s(loads, profile) == pytest.approx([TIER_S] * 3, rel=1e-6)
