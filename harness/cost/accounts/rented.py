"""The account of a system that is kept up, as in the bill of its run: its share of an instance."""

from __future__ import annotations

from ..sheet import instance_sheet
from .usage import RENTED, Usage


def rented(usage: Usage, sheet: str) -> float:
    return usage.billed[RENTED] * instance_sheet(sheet).usd_per_hour
