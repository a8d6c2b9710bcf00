"""The table of published results and ours."""

from __future__ import annotations

from pathlib import Path

from ..claims import claims
from ..claims.page import table
from .block import Block


def claims_table(block: Block, reference: Path) -> str:  # noqa: ARG001
    return table(claims(reference))
