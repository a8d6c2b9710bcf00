"""What a server's replicas hold on their devices, as steps of memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from systems.interface import MemoryOwner, MemoryStep
from systems.models.sizes import ModelSize


@dataclass(frozen=True, slots=True)
class ReplicaBytes:
    """Of one replica. ``weights``: with what merging keeps aside; ``slot``: what the keys and
    values of any request take, None: as its tokens do."""

    device: str
    weights: int
    process: int
    slot: int | None


class Holdings:
    """Written into ``steps`` as they change: shared by functions, all of them, since a server
    holds them for all."""

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
        """Keys and values of one more request that may come to so many tokens, or of one less."""
        here = self._replicas[replica]
        size = tokens * self._size.kv_bytes_per_token if here.slot is None else here.slot
        self._change(here.device, MemoryOwner.KV, size if more else -size)

    def _change(self, device: str, owner: MemoryOwner, more: int) -> None:
        if more:
            self._held[device, owner] += more
            held = self._held[device, owner]
            self.steps.append(MemoryStep(self._now(), device, owner, None, held))
