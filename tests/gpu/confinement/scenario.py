"""What the process of a group does on a card from its context to its last request, in steps.

Runs on the CPU too, without the steps that need a driver.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from systems.engine.adapter import StoredAdapter, StoredPair
from systems.engine.checkpoint import plan_layout
from systems.engine.cuda import context, device_mapping
from systems.engine.cuda.engine import CudaEngine
from systems.engine.cuda.slot import AdapterSlot
from systems.engine.packed import SlotShape
from systems.engine.weights import BackboneWeights
from systems.models import ensure_backbone
from tests.systems.engine.driving import answer, prompts

DTYPE, RANK, TARGETS = "float16", 8, ("q_proj", "v_proj")
LIMITS = {"max_batch_size": 2, "max_context_tokens": 64}
SIZE = 4 << 20
PREPARED = "engine"
"""The step after which an instance completes its sandbox."""


class Scenario:
    """State of the process; ``steps`` in order."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._layout = plan_layout(ensure_backbone("tiny"), DTYPE)
        self._engine: Any = None
        self._weights: Any = None
        self._shared: Any = None
        on_card: Mapping[str, Callable[[], object]] = {
            "context": context.start,
            "product": self._product,
            "shared copy": self._map_shared,
        }
        self._steps: dict[str, Callable[[], object]] = {
            **(on_card if device == "cuda" else {}),
            PREPARED: self._build,
            "graphs": self._prepare,
            "requests": self._serve,
            "memory": self._allocate,
            "another adapter": self._adapt,
            "engine again": self._again,
        }

    def steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield from self._steps.items()

    def _product(self) -> None:
        square = torch.ones(64, 64, dtype=torch.float16, device=self._device)
        assert float(torch.mm(square, square).float().sum()) == 64**3
        torch.aminmax(square)

    def _map_shared(self) -> None:
        mapping, fd = device_mapping.create(SIZE)
        mapping.tensor().fill_(7)
        self._shared = device_mapping.map_shared(fd, SIZE)
        assert int(self._shared.tensor()[-1]) == 7

    def _build(self) -> None:
        flat = torch.zeros(self._layout.nbytes, dtype=torch.uint8, device=self._device)
        self._weights = BackboneWeights.from_flat(self._layout, flat)
        slot = AdapterSlot(
            SlotShape.of(self._layout.config, RANK, TARGETS, torch.float16), self._device
        )
        slot.rehearse()
        self._engine = CudaEngine(self._layout.config, self._weights, slot, **LIMITS)
        self._engine.prepare()

    def _prepare(self) -> None:
        while self._engine.prepare():
            pass

    def _serve(self) -> None:
        texts = answer(self._engine, prompts((5, 20), self._layout.config.vocab_size), 8)
        assert [len(text) for text in texts] == [8, 8]

    def _allocate(self) -> None:
        torch.empty(64 << 20, dtype=torch.uint8, device=self._device).fill_(1)
        torch.empty(4 << 20, dtype=torch.uint8, pin_memory=self._device == "cuda").fill_(1)

    def _adapt(self) -> None:
        shape = self._layout.config.hidden_size
        pair = StoredPair(torch.zeros(RANK, shape), torch.zeros(shape, RANK), 1.0)
        self._engine.slot.load(StoredAdapter("zeros", {(0, "q_proj"): pair}))
        self._serve()

    def _again(self) -> None:
        self._engine = self._weights = None
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()
        self._build()
        self._prepare()
        self._serve()
