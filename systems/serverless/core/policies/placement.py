"""On which device a function's instance is started."""

from __future__ import annotations

from typing import Protocol

from ..artifacts import Artifact, CopyKey
from ..state import Device, State
from ..world import FunctionSpec


class Placement(Protocol):
    @property
    def name(self) -> str: ...

    def choose(self, function: FunctionSpec, state: State) -> Device:
        """The device to start an instance of ``function`` on."""


class EarliestStart:
    """Where the first token is due soonest: the loading of the backbone where it has to be loaded,
    and the device's prefills before this one (M + 1 at T each). Among equals, where most memory
    is free; where nothing fits, something must give way, which is counted as a loading too. A
    device that has an instance of the function is taken only where all have."""

    name = "earliest-start"

    def choose(self, function: FunctionSpec, state: State) -> Device:
        learnt = state.estimates(function.id)
        load_ns = max(learnt.delay_ns[Artifact.BACKBONE], 1.0)
        ttft_ns = learnt.law.ttft_ns(1)
        weights = state.world.backbones[function.backbone].bytes
        kv_bytes = function.kv_bytes_per_token * state.world.settings.max_context_tokens
        own = function.adapter_bytes + function.context_bytes + kv_bytes
        taken = {instance.device for instance in state.of_function.get(function.id, {}).values()}
        if len(taken) == len(state.devices):
            taken = set()
        best: tuple[float, int] | None = None
        found: Device | None = None
        for device in state.devices.values():
            if device.spec.id in taken:
                continue
            copy = state.copies.get(CopyKey(function.backbone, device.spec.id))
            free = device.memory.capacity - device.memory.used
            short = own + (0 if copy else weights) > free
            due_ns = ttft_ns * (1 + device.prefilling)
            due_ns += (0.0 if copy else load_ns) + (load_ns if short else 0.0)
            score = (due_ns, -free)
            if best is None or score < best:
                best, found = score, device
        assert found is not None, "a world has devices"
        if state.explain is not None and best is not None:
            state.note("place", function=function.id, device=found.spec.id, due_ns=best[0])
        return found
