"""The table of published results and ours."""

from __future__ import annotations

from pathlib import Path

from ..claims import claims
from ..claims.page import table
from .block import Block


def claims_table(block: Block, reference: Path) -> str:
    """``rows``: claims by id; empty means all."""
    found = claims(reference)
    return table([each for each in found if not block.rows or each.published.id in block.rows])
