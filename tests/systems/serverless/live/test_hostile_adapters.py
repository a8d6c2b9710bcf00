"""Memory files of a parser that its tenant's adapter has taken over: the instance that is sent one
goes on, and its other functions answer the same bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from systems.engine.cross import CrossEngine
from systems.engine.cuda.cross import CudaCrossEngine
from systems.engine.cuda.table import AdapterTable
from systems.models import ensure_adapters, ensure_backbone
from systems.runtime.messages import Message
from systems.serverless.live.adapters import memory_file
from systems.serverless.live.instance import Instance
from systems.serverless.live.messages import AdapterHeld, AdapterRefused, DropAdapter, HoldAdapter
from tests.systems.engine.conftest import load_backbone, pack_all
from tests.systems.engine.driving import prompts
from tests.systems.engine.neighbours import HEADER, Neighbour, beside, same_bits
from tests.torch_threads import torch_threads

LIMITS = {"max_batch_size": 4, "max_context_tokens": 200}
OWN, OTHER = prompts((40, 20))


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> Iterator[None]:
    with torch_threads(1):
        yield


class Sent:
    """A channel that keeps what an instance sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)


class Shared:
    """An instance with three places, in which f0 is."""

    def __init__(self, engine: Any, packed: dict[str, Tensor]) -> None:
        self.packed, self.engine, self.sent = packed, engine, Sent()
        self.instance = Instance(self.sent)  # type: ignore[arg-type]
        artifacts = self.instance.artifacts
        artifacts.engine = artifacts.cross = engine
        assert isinstance(self.holds("f0", packed["f0"]), AdapterHeld)

    def holds(self, function: str, flat: Tensor, nbytes: int = 0, *, sealed: bool = True) -> Any:
        """Send it a memory file; return its answer."""
        fd = memory_file.create(flat.nbytes)
        os.pwrite(fd, flat.numpy().tobytes(), 0)
        if sealed:
            memory_file.seal(fd)
        self.instance._hold(HoldAdapter(function, nbytes or flat.nbytes), [fd])
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        return self.sent.messages[-1]

    def answers(self, neighbour: str | None) -> tuple[list[int], Tensor]:
        """What f0 gets beside a neighbour, and the keys and values of its request."""
        others = [Neighbour(None, OTHER), Neighbour(neighbour, OTHER)]
        return beside(self.engine, Neighbour("f0", OWN), others)


@pytest.fixture(scope="module", params=["cores", "device"])
def shared(request: pytest.FixtureRequest) -> Shared:
    tiny = ensure_backbone("tiny")
    layout, weights = load_backbone(tiny, "float32")
    shape, packed = pack_all(ensure_adapters(tiny, ["f0", "f1"]), layout)
    engine: Any
    if request.param == "cores":
        engine = CrossEngine(layout.config, weights, shape, 3, **LIMITS)
    else:
        engine = CudaCrossEngine(layout.config, weights, AdapterTable(shape, 3, "cpu"), **LIMITS)
    return Shared(engine, packed)


def with_ranks(*ranks: int) -> Callable[[Tensor], Tensor]:
    def change(flat: Tensor) -> Tensor:
        flat[:HEADER].view(torch.int32)[: len(ranks)] = torch.tensor(ranks, dtype=torch.int32)
        return flat

    return change


def filled(value: float) -> Callable[[Tensor], Tensor]:
    def change(flat: Tensor) -> Tensor:
        flat[HEADER:].view(torch.float32).fill_(value)
        return flat

    return change


REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "a rank above the places'": with_ranks(1 << 20),
    "a rank below zero": with_ranks(16, -16),
    "a rank that wraps": with_ranks(-(2**31)),
    "a file that is shorter": lambda flat: flat[:-64],
    "a file that is longer": lambda flat: torch.cat([flat, flat[:64]]),
    "a header alone": lambda flat: flat[:HEADER],
}
HARMLESS: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": filled(torch.nan),
    "infinity": filled(torch.inf),
    "products that overflow": filled(1e30),
    "ranks that differ from its matrices": with_ranks(1, 16, 0, 3),
    "no rank at all": with_ranks(*[0] * 16),
    "ranks that differ between layers": with_ranks(*[16] * 4, *[0] * 4, 3, 2, 1, 0),
    "random bytes as numbers": lambda flat: torch.cat(
        [flat[:HEADER], torch.arange(len(flat) - HEADER).mul(0x9E3779B1).to(torch.uint8)]
    ),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_a_memory_file_that_does_not_fit_fails_its_function_alone(
    change: Callable[[Tensor], Tensor], shared: Shared
) -> None:
    """The instance ended, with all requests of the group's other functions."""
    before = shared.answers(None)
    refused = shared.holds("f1", change(shared.packed["f1"].clone()))
    assert isinstance(refused, AdapterRefused)
    assert refused.function == "f1"
    assert "\n" not in refused.reason
    assert same_bits(shared.answers(None), before)
    assert not shared.instance._stopped
    assert isinstance(shared.holds("f1", shared.packed["f1"]), AdapterHeld), "its place is free"
    shared.instance._drop(DropAdapter("f1"), [])


def test_a_file_that_is_not_sealed_or_not_as_long_as_told_is_refused(shared: Shared) -> None:
    flat = shared.packed["f1"]
    assert isinstance(shared.holds("f1", flat, sealed=False), AdapterRefused)
    assert isinstance(shared.holds("f1", flat, nbytes=1 << 40), AdapterRefused)
    assert isinstance(shared.holds("f1", flat, nbytes=64), AdapterRefused)
    assert not shared.instance._stopped


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_memory_file_that_fits_is_harmless_whatever_it_holds(
    change: Callable[[Tensor], Tensor], shared: Shared
) -> None:
    before = shared.answers(None)
    assert isinstance(shared.holds("f1", change(shared.packed["f1"].clone())), AdapterHeld)
    assert same_bits(shared.answers("f1"), before)
    shared.instance._drop(DropAdapter("f1"), [])
    assert same_bits(shared.answers(None), before)
