"""Regenerates the blocks of the pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import HarnessError
from .ablation import ablation
from .accountings import accountings_table
from .benchmark import benchmark
from .block import Block, blocks
from .breakdown import breakdown
from .claims import claims_in_full, claims_table
from .cold_starts import cold_starts
from .comparison import comparison
from .fidelity import fidelity
from .held import held
from .ledger import ledger
from .live_accountings import live_accountings
from .models import models
from .over_segments import over_segments
from .published import published_table
from .ratios import ratios
from .rounds import rounds
from .sweep import sweep
from .systems import systems
from .unrecorded import unrecorded_table

KINDS: dict[str, Callable[[Block, Path], str]] = {
    "ablation": ablation,
    "accountings": accountings_table,
    "benchmark": benchmark,
    "breakdown": breakdown,
    "claims": claims_table,
    "claims-in-full": claims_in_full,
    "cold-starts": cold_starts,
    "comparison": comparison,
    "fidelity": fidelity,
    "held": held,
    "ledger": ledger,
    "live-accountings": live_accountings,
    "models": models,
    "published": published_table,
    "ratios": ratios,
    "rounds": rounds,
    "segments": over_segments,
    "sweep": sweep,
    "systems": systems,
    "unrecorded": unrecorded_table,
}
"""Takes block and folder of the reference records, returns Markdown. One line per kind."""


def regenerated(root: Path, reference: Path) -> dict[Path, str]:
    """Return the text of each page with every block regenerated. Raises ``HarnessError`` if a page
    lacks a block's markers."""
    texts: dict[Path, str] = {}
    for block in blocks():
        page = root / block.page
        text = texts.get(page) or page.read_text(encoding="utf-8")
        texts[page] = put_into(text, block, KINDS[block.kind](block, reference))
    return texts


def put_into(text: str, block: Block, content: str) -> str:
    before, begin, rest = text.partition(block.begin)
    _, end, after = rest.partition(block.end)
    if not begin or not end:
        raise HarnessError(f"{block.page}: the markers of {block.name} are missing: {block.begin}")
    return f"{before}{begin}\n{content}{end}{after}"
