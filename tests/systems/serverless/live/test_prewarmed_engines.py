"""The engine of a prewarmed process that an instance of another shape takes: it is released, and
one of the instance's shape is built. The engines are those of the CPU."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.serverless.core.artifacts import Artifact
from systems.serverless.live import prewarmed
from systems.serverless.live.adapters import memory_file, parser
from systems.serverless.live.adapters.requests import parse_request
from systems.serverless.live.device_backend import BACKENDS
from systems.serverless.live.instance_artifacts import InstanceArtifacts
from systems.serverless.live.messages import Configure, LoadArtifact
from systems.serverless.live.plan import Plan, make_plan

FUNCTIONS = {"small": ("a0", "a1"), "large": ("b0", "b1", "b2"), "also-large": ("c0", "c1", "c2")}
RANKS = {"small": 4, "large": 8, "also-large": 8, "alone": 8}


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Tenants whose groups share a backbone: two of one shape, a smaller one, and one of a single
    function, which has no places."""
    tiny = ensure_backbone("tiny")
    functions = [
        Function(id=name, backbone="tiny", adapter=path, tenant=tenant)
        for tenant, names in {**FUNCTIONS, "alone": ("d0",)}.items()
        for name, path in ensure_adapters(tiny, names, rank=RANKS[tenant]).items()
    ]
    deployment = Deployment(
        functions=tuple(functions),
        backbones={"tiny": tiny},
        dtype="float32",
        isolation="tenant",
        devices=(Device(name="cpu:0", memory_bytes=8 << 30),),
        limits=Limits(max_batch_size=4, max_context_tokens=512),
    )
    return make_plan(deployment, forks=True)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """References to the engines that are built; none may be there while another is built."""
    built: list[Any] = []

    def observed(build: Any) -> Any:
        def build_alone(*told: Any) -> Any:
            gc.collect()
            assert not [each for each in built if each() is not None], "memory for two engines"
            engine = build(*told)
            built.append(weakref.ref(engine))
            return engine

        return build_alone

    real = BACKENDS["cpu"]
    seen = replace(real, engine=observed(real.engine), cross_engine=observed(real.cross_engine))
    monkeypatch.setitem(BACKENDS, "cpu", seen)  # type: ignore[arg-type]
    return built


class Process:
    """What a prewarmed process holds, without its sandbox, which would bind this process."""

    def __init__(self, plan: Plan) -> None:
        self.artifacts, self._plan = InstanceArtifacts(), plan
        self.artifacts._settled = True
        self._becomes(prewarmed.configuration(plan, "tiny"))

    def taken_by(self, group: str) -> None:
        self._becomes(self._plan.configuration(group))

    def _becomes(self, told: Configure) -> None:
        self.artifacts.configure(told)
        loads = [LoadArtifact(Artifact.BACKBONE, self._plan.layout("tiny"))]
        adapter = [] if told.adapter is None else [LoadArtifact(Artifact.ADAPTER)]
        for message in (*loads, *adapter, LoadArtifact(Artifact.KERNELS)):
            self.artifacts.load(message, [])

    def holds(self, function: str, group: str) -> None:
        """Put an adapter into a place, packed as the platform packs it for ``group``."""
        asked = parse_request(self._plan, function, self._plan.places_shapes[group])
        fd = memory_file.create(asked.nbytes)
        try:
            parser._parse(asked, fd)
            memory_file.seal(fd)
            self.artifacts.hold(function, fd, asked.nbytes)
        finally:
            os.close(fd)


def test_an_instance_of_a_smaller_shape_holds_its_own_adapters(
    plan: Plan, engines: list[Any]
) -> None:
    process = Process(plan)
    process.taken_by("small@tiny")
    assert len(engines) == 2
    process.holds("a0", "small@tiny")
    assert process.artifacts.unprepared


def test_an_instance_of_the_same_shape_keeps_the_engine(plan: Plan, engines: list[Any]) -> None:
    process = Process(plan)
    for group, function in (("large@tiny", "b0"), ("also-large@tiny", "c0")):
        process.taken_by(group)
        process.holds(function, group)
    assert len(engines) == 1


def test_an_instance_without_places_keeps_neither_places_nor_their_engine(
    plan: Plan, engines: list[Any]
) -> None:
    process = Process(plan)
    process.taken_by("alone@tiny")
    assert process.artifacts.cross is None
    with_places, own = engines
    assert with_places() is None
    assert process.artifacts.engine is own()


def test_an_engine_without_places_that_takes_the_adapter_is_kept(
    plan: Plan, engines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a card, where an adapter of the slot's shape is copied into it."""
    adapts = replace(BACKENDS["cpu"], adapt=lambda engine, adapter: adapter is not None)
    monkeypatch.setitem(BACKENDS, "cpu", adapts)  # type: ignore[arg-type]
    process = Process(plan)
    for _ in range(2):
        process.taken_by("alone@tiny")
        assert len(engines) == 2, "the pool's, which has places, and the instance's own"
