"""Backbones from device to device in virtual time, on four H100 of one host, a function on each."""

from __future__ import annotations

from typing import Any

import pytest

from systems.interface import Deployment, Device, Function, Limits, Stage
from systems.models.sizes import model_size
from systems.registry import system_class
from systems.simulation.arrival import Arrival, OpenLoad
from systems.simulation.latency_model import LatencyModel
from systems.simulation.profile import load_profile

H100X4 = load_profile("h100x4").model_copy(update={"profiled_offline": True})
"""A controller that knows how long both ways take."""
MODEL = LatencyModel(H100X4, model_size("llama2-7b", "float16", 16, "cuda"))
READ_S, COPY_S = MODEL.backbone_ns(cached=False, private=False) / 1e9, MODEL.peer_ns() / 1e9


def backbone_s(at_s: list[float], **options: Any) -> list[float]:
    """Return how long the backbone's loading made each call wait, of functions of their own."""
    names = [f"f{n}" for n in range(len(at_s))]
    deployment = Deployment(
        functions=tuple(Function(id=n, backbone="llama2-7b", adapter=n) for n in names),
        backbones={"llama2-7b": "llama2-7b"},
        devices=tuple(Device(name=f"cuda:{n}", memory_bytes=18 << 30) for n in range(4)),
        limits=Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=300),
        dtype="float16",
        options={"template_at_deployment": True, **options},
    )
    calls = zip(at_s, names, strict=True)
    arrivals = [Arrival(n, round(at * 1e9), name, 64, 600) for n, (at, name) in enumerate(calls)]
    outcome = system_class("serverless-lora").simulate(deployment, H100X4, OpenLoad(arrivals), 16)
    spans = {each.function_id: each.spans for each in outcome.system_trace().requests}
    return [
        sum(s.end_ns - s.start_ns for s in spans[name] if s.stage is Stage.BACKBONE) / 1e9
        for name in names
    ]


def test_the_numbers_are_those_of_one_card_and_of_the_link_between_two() -> None:
    one = load_profile("h100")
    assert H100X4.kernels_s == one.kernels_s
    assert H100X4.grouped == one.grouped
    assert H100X4.sha256 != one.sha256
    assert pytest.approx(0.034, rel=0.02) == COPY_S


def test_a_machine_reads_a_backbone_once() -> None:
    map_s = H100X4.map_s.value
    first, *others = backbone_s([0, 1, 2, 3])
    assert first == pytest.approx(READ_S + map_s, rel=0.2)
    assert others == pytest.approx([COPY_S + map_s] * 3, rel=0.2)
    first, *others = backbone_s([0, 1, 2, 3], peer_copies=False)
    assert others == pytest.approx([READ_S + map_s] * 3, rel=0.2)


def test_calls_at_once_wait_for_the_first_device_and_then_for_copies() -> None:
    waits = sorted(backbone_s([0, 0, 0, 0]))
    map_s = H100X4.map_s.value
    assert waits[0] == pytest.approx(READ_S + map_s, rel=0.2)
    assert waits[-1] < READ_S + map_s + 3.2 * COPY_S


def test_on_every_device_before_the_first_call() -> None:
    early = backbone_s([0, 0, 0, 0], backbones_at_deployment="every-device")
    assert early == pytest.approx([H100X4.map_s.value] * 4, rel=0.2)
