"""The kinds of device that ``slbench profile`` measures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.manifest import machine
from systems.serverless.options import Options

from .card import measure_card
from .machine import measure, settings
from .measured import Measured
from .servers import measure_servers

if TYPE_CHECKING:
    from harness.execution.progress import Progress


@dataclass(frozen=True)
class Chosen:
    """What a user chose. ``backbone``: empty for the device's default; ``threads``: of an instance
    on the CPU; ``memory_gib``: of a card; ``records``: where those of the probes are kept."""

    backbone: str
    threads: int
    memory_gib: float
    records: Path | None


def _of_cores(chosen: Chosen, progress: Progress) -> Measured:
    backbone, cores = chosen.backbone or "smollm2-135m", len(os.sched_getaffinity(0))
    numbers = {
        **settings(cores),
        **measure(backbone, chosen.threads, progress, records=chosen.records),
        **measure_servers(backbone, chosen.threads, progress, records=chosen.records),
    }
    pieces = Options().piece_tokens("cpu")
    plain = {} if pieces is None else {"prompt_piece_tokens": pieces}
    return Measured(numbers, plain, f"{machine()['cpu']}, {cores} cores, {backbone}")


def _of_card(chosen: Chosen, progress: Progress) -> Measured:
    backbone = chosen.backbone or "llama2-7b"
    return measure_card(backbone, progress, memory_gib=chosen.memory_gib, records=chosen.records)


KINDS: Mapping[str, Callable[[Chosen, Progress], Measured]] = {"cpu": _of_cores, "cuda": _of_card}
