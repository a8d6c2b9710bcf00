"""Memory of a server's replicas on their devices, as steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from systems.interface import MemoryOwner, MemoryStep
from systems.models.sizes import ModelSize


@dataclass(frozen=True, slots=True)
class ReplicaBytes:
    """Sizes of one replica. ``weights``: including the copy that merging keeps; ``slot``: KV cache
    of any request; None: proportional to its tokens."""

    device: str
    weights: int
    process: int
    slot: int | None


class Holdings:
    """Records changes in ``steps``. All of it counts as shared by functions, since a server holds
    it for all of them."""

    def __init__(
        self, now: Callable[[], int], size: ModelSize, replicas: Sequence[ReplicaBytes]
    ) -> None:
        self._now, self._size, self._replicas = now, size, replicas
        self._held: Counter[tuple[str, MemoryOwner]] = Counter()
        self.steps: list[MemoryStep] = []
        for each in replicas:
            self._change(each.device, MemoryOwner.WEIGHTS, each.weights)
            self._change(each.device, MemoryOwner.CONTEXT, each.process)

    def adapters(self, replica: int, more: int) -> None:
        size = more * self._size.adapter_bytes
        self._change(self._replicas[replica].device, MemoryOwner.ADAPTERS, size)

    def request(self, replica: int, tokens: int, *, more: bool) -> None:
        """Add or remove the KV cache of a request of up to ``tokens`` tokens."""
        here = self._replicas[replica]
        size = tokens * self._size.kv_bytes_per_token if here.slot is None else here.slot
        self._change(here.device, MemoryOwner.KV, size if more else -size)

    def _change(self, device: str, owner: MemoryOwner, more: int) -> None:
        if more:
            self._held[device, owner] += more
            held = self._held[device, owner]
            self.steps.append(MemoryStep(self._now(), device, owner, None, held))
