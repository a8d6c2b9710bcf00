"""Ends instances that hold more device memory than they can need, by the driver's own count.

No limit of CUDA bounds the memory of one process. The driver counts what a process has allocated; a
shared copy counts for the process that made it, not for those that map it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from systems.runtime.liveness import Monitored

from .plan import Plan

EVERY_S = 1.0
SLACK_BYTES = 2 << 30
"""For what the ledger does not count: the allocator's rounding, graphs, kernels."""


@dataclass(frozen=True, slots=True)
class Held:
    """A process on the GPU of UUID ``card``, and the most bytes that it may hold there."""

    process: Monitored
    card: str
    most_bytes: int


class DeviceWatch:
    """Compares ``held()`` every second with ``count``: by GPU, the bytes of each process id. Calls
    ``give_up`` with a process that exceeds its bound, and with the reason."""

    def __init__(
        self,
        held: Callable[[], Iterable[Held]],
        count: Callable[[str], Mapping[int, int]],
        give_up: Callable[[Monitored, str], None],
    ) -> None:
        self._held, self._count, self._give_up = held, count, give_up
        self._rounds = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        self._rounds.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Look once. The driver answers on another thread: it may be busy."""
        held = list(self._held())
        loop = asyncio.get_running_loop()
        for card in {each.card for each in held}:
            used = await loop.run_in_executor(None, self._count, card)
            for each in held:
                if each.card == card and each.process.pid is not None:
                    self._compare(each, used.get(each.process.pid, 0))

    def _compare(self, held: Held, used: int) -> None:
        if used > held.most_bytes:
            told = f"{used >> 20} MiB on its device; at most {held.most_bytes >> 20}"
            self._give_up(held.process, told)


def most_bytes(plan: Plan, group_id: str) -> int:
    """Return the most device memory of an instance: twice what the ledger reserves for a full batch
    of its group, and a backbone, which it may hold alone."""
    group = plan.cluster.groups[group_id]
    requests = group.batch_limit * group.kv_bytes(plan.deployment.limits.max_context_tokens)
    own = group.context_bytes + group.adapter_bytes + group.places_bytes + requests
    return 2 * own + plan.layouts[group.backbone].nbytes + SLACK_BYTES
