"""The cells of the probes of a card: what is deployed, what was sent, and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import card_probes as probes
from .frames import Frames, frames
from .probe import Probe, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import Cell
    from harness.records.manifest import Manifest

    from .script import Script

DTYPE = "float16"
LIMITS = {"max_batch_size": max(probes.ROWS), "max_context_tokens": 512}
KEPT_S = 240.0
"""A keep-alive that is longer than any cell."""
READY = {"template_at_deployment": True}
APART = {"mixed_passes": False}
"""So that each pass over prompts, and each step, shows its own time."""


@dataclass(frozen=True)
class Probed:
    """A cell and what it was sent, as its requests, spans and ledger."""

    cell: Cell
    script: Script

    def frames(self) -> Frames:
        """Return the tables. Raise ``HarnessError`` if a request failed."""
        return frames(self.cell)

    def of(self, *parts: str) -> Sequence[int]:
        return self.script.of(*parts)


@dataclass(frozen=True)
class CardCells:
    """``shared``: instances of functions; ``private``: of a system that shares nothing; ``taken``:
    prewarmed processes, and mixed passes; ``parked``: with a short keep-alive; ``grouped``: an
    instance of many functions; ``server``: one that measures merging itself."""

    shared: Probed
    private: Probed
    taken: Probed
    parked: Probed
    grouped: Probed
    server: Probed

    @property
    def manifest(self) -> Manifest:
        """The manifest of the first cell; the machine is that of all."""
        return self.shared.cell.manifest


def on_card(backbone: str, memory_gib: float) -> Target:
    return Target(backbone, "cuda", DTYPE, memory_gib, LIMITS)


def run(probe: Probe) -> CardCells:
    """Run all cells before the tables of any are read, so that all records are there even if one
    cannot be used."""
    prewarmed = {"backbones_at_deployment": True, "prewarmed": 1}
    places = {
        **READY,
        **APART,
        "adapter_places": probes.PLACES,
        "shared_batch_size": max(probes.ROWS),
    }
    return CardCells(
        _probed(probe, probes.shared(), _ours({**READY, **APART})),
        _probed(probe, probes.private(), {"name": "serverless-llm"}, keep_alive_s=2),
        _probed(probe, probes.takeovers(), _ours(prewarmed)),
        _probed(probe, probes.pauses(), _ours(READY), keep_alive_s=1),
        _probed(probe, probes.grouped(), {**_ours(places), "isolation": "backbone"}),
        _probed(probe, probes.all_functions(), {"name": "dlora", "options": {"max_num_seqs": 8}}),
    )


def _ours(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ServerlessLoRA with ``options``, whose requests run as soon as their instance is free:
    so no number depends on a decision."""
    at_once = {"batching": "first-come-first-served"}
    return {"name": "serverless-lora", "policies": at_once, "options": options}


def _probed(
    probe: Probe, script: Script, system: Mapping[str, Any], keep_alive_s: float = KEPT_S
) -> Probed:
    return Probed(probe.cell_of(system, script.requests, keep_alive_s), script)
