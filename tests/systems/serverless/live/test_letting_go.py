"""An instance has released all offloaded artifacts when it sends ``Offloaded``."""

from __future__ import annotations

import os
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from systems.engine.adapter_files import stamps_of
from systems.engine.checkpoint import plan_layout
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime.messages import Message, Stop
from systems.runtime.sandbox import confine
from systems.serverless.core.artifacts import Artifact
from systems.serverless.live import device_backend as placing
from systems.serverless.live.instance import Instance
from systems.serverless.live.messages import (
    ArtifactLoaded,
    Configure,
    LoadArtifact,
    OffloadArtifacts,
    Offloaded,
)
from systems.serverless.live.weights import store
from systems.serverless.live.weights.handle import SharedWeightsHandle

LOADS = (Artifact.BACKBONE, Artifact.ADAPTER, Artifact.KERNELS)


class Script:
    """A channel with fixed messages; at ``Offloaded`` it records what the instance still holds."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = deque(messages)
        self.instance: Instance | None = None
        self.engine: weakref.ref[Any] | None = None
        self.weights: weakref.ref[Any] | None = None
        self.left: list[bool] = []

    def receive(self, timeout: float | None) -> tuple[Message, list[int]] | None:
        if timeout == 0 and (not self.messages or not isinstance(self.messages[0], LoadArtifact)):
            return None
        return self.messages.popleft(), []

    def send(self, message: Message, fds: Any = ()) -> None:
        assert self.instance is not None
        if message == ArtifactLoaded(Artifact.KERNELS):
            self.engine = weakref.ref(self.instance.artifacts.engine)
            assert self.instance.artifacts.weights is not None
            self.weights = weakref.ref(self.instance.artifacts.weights.embedding)
        if isinstance(message, Offloaded):
            assert self.engine is not None
            assert self.weights is not None
            self.left = [self.engine() is not None, self.weights() is not None]


def test_what_is_offloaded_is_gone_when_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    # The sandbox would confine the test process itself, permanently.
    monkeypatch.setattr(confine, "settle_in", lambda *told: None)
    tiny = ensure_backbone("tiny")
    adapter: Path = ensure_adapters(tiny, ["f0"], rank=8)["f0"]
    layout = plan_layout(tiny, "float32").to_json()
    configure = Configure(
        group="f0",
        model_dir=str(tiny),
        adapter=str(adapter),
        stamps=stamps_of(adapter),
        device="cpu",
        threads=1,
        memory_bytes=None,
        max_batch_size=2,
        max_context_tokens=64,
    )
    loads = [LoadArtifact(artifact, layout) for artifact in LOADS]
    script = Script([configure, *loads, OffloadArtifacts(LOADS), Stop()])
    script.instance = Instance(script)  # type: ignore[arg-type]
    assert script.instance.run() == 0
    assert script.left == [False, False]


def test_a_shared_copy_is_let_go_of_with_its_weights() -> None:
    """An open descriptor keeps the memory of a copy, as a mapping does."""
    tiny = ensure_backbone("tiny")
    layout = plan_layout(tiny, "float32")
    ours = store.create("backbone:test", layout.nbytes)
    store.seal(ours)
    before = _open_on(ours)
    weights = placing.BACKENDS["cpu"].weights(layout, tiny, SharedWeightsHandle(os.dup(ours)))
    del weights
    assert _open_on(ours) == before
    os.close(ours)


def _open_on(fd: int) -> int:
    """The number of descriptors of this process on the same file."""
    same = os.fstat(fd)
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.path.samestat(os.fstat(int(name)), same)
        except OSError:
            continue  # the descriptor of the folder itself
    return found
