"""How much of a card each server gets, and how many may be awake at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from systems.errors import DeploymentError

_WORK_BYTES = 4 << 30
"""Beside the weights: activations, graphs and keys and values of an awake server, at least."""
_OTHER_BYTES = 3 << 29
"""Of that, the part that is not for keys and values, about: 1.0 GiB of a 7B model."""
_PROCESSES_BYTES = 3 << 30
"""Host memory of a server's processes beside its weights, about."""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Room:
    """``servers`` with ``weights_bytes`` each (the largest of them) on a card of ``card_bytes``, of
    which they may use the share ``utilization``. One that sleeps keeps ``asleep_bytes``."""

    servers: int
    weights_bytes: int
    card_bytes: int
    utilization: float
    asleep_bytes: int

    def share(self, slots: int) -> float:
        """Return the share of the card of each server if ``slots`` are awake at once."""
        asleep = (self.servers - slots) * self.asleep_bytes / self.card_bytes
        return round((self.utilization - asleep) / slots, 4)

    def kv_bytes(self, slots: int, weights_bytes: int) -> int:
        """Return the size of the KV cache of a server with so many bytes of weights if ``slots``
        are awake at once."""
        return round(self.share(slots) * self.card_bytes) - weights_bytes - _OTHER_BYTES

    def slots(self, asked: int | None) -> int:
        """Return how many may be awake at once: ``asked``, or as many as fit. Raise
        ``DeploymentError`` if so many do not fit."""
        fitting = [n for n in range(1, self.servers + 1) if self._fits(n)]
        slots = max(fitting, default=0) if asked is None else min(asked, self.servers)
        if slots not in fitting:
            raise DeploymentError(
                f"vllm-sleep: {self.servers} servers of {self.weights_bytes / _GIB:.1f} GiB of"
                f" weights, {slots or 1} awake at once, do not fit a card of"
                f" {self.card_bytes / _GIB:.1f} GiB; at most {max(fitting, default=0)} may be awake"
            )
        return slots

    def _fits(self, slots: int) -> bool:
        return self.share(slots) * self.card_bytes >= self.weights_bytes + _WORK_BYTES


def check_host(weights: Sequence[int], available_bytes: int) -> None:
    """Raise ``DeploymentError`` if servers with these bytes of weights, on whatever cards of this
    machine, do not fit in its host memory when they sleep."""
    needed = sum(weights) + len(weights) * _PROCESSES_BYTES
    if needed > available_bytes:
        raise DeploymentError(
            f"vllm-sleep: {len(weights)} sleeping servers need {needed / _GIB:.1f} GiB of host"
            f" memory, {available_bytes / _GIB:.1f} GiB are free; use one_per: backbone, or"
            " fewer functions"
        )
