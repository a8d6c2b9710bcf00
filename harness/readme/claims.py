"""The table of published results and ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..claims import claims
from ..claims.page import in_full, table
from .block import Block

_claims = cache(claims)
"""Two blocks have them."""


def claims_table(block: Block, reference: Path) -> str:
    """``rows``: claims by id; empty means all. Each has a row: what was found in the paper's own
    set-up."""
    found = _claims(reference)
    return table([each for each in found if not block.rows or each.published.id in block.rows])


def claims_in_full(_: Block, reference: Path) -> str:
    """Each claim has a row for each set-up that tells something of it."""
    return in_full(_claims(reference))
