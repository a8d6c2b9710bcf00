"""Compares what the driver counts on each card with what the system's ledger says is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from systems.interface import MemoryStep

from .sample import Sample

SLACK_BYTES = 2 << 30
"""What the driver may count in addition: its own memory, contexts of loaders while they load."""


def misplaced(ledger: Sequence[MemoryStep], samples: Sequence[Sample]) -> Iterator[str]:
    """Yield a warning for each card that holds more than its ledger ever did, as it does if
    something is on a card that is not its own. Without a ledger of cards, yield nothing. ``ledger``
    is in order of time."""
    most = _most(ledger)
    if not any(device.startswith("cuda") for device in most):
        return
    for device in sorted({each for sample in samples for each in sample.gpu_bytes}):
        driver = max(sample.gpu_bytes.get(device, 0) for sample in samples)
        if driver > most[device] + SLACK_BYTES:
            yield (
                f"{device}: the driver counts {driver / 1e9:.1f} GB, the ledger at most"
                f" {most[device] / 1e9:.1f}; what is there may belong to another card"
            )


def _most(ledger: Sequence[MemoryStep]) -> Counter[str]:
    """Return the most bytes that the ledger held at once, by device."""
    held: dict[tuple[str, str, str | None], int] = {}
    total: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for step in ledger:
        key = (step.device, step.owner, step.function_id)
        total[step.device] += step.bytes - held.get(key, 0)
        held[key] = step.bytes
        most[step.device] = max(most[step.device], total[step.device])
    return most
