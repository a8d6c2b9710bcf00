"""The share account: each byte that is held, by the second, as in the bill of a run."""

from __future__ import annotations

from ..sheet import price_sheet
from .usage import Usage


def share(usage: Usage, sheet: str) -> float:
    prices = price_sheet(sheet)
    return sum(quantity * prices.usd(resource) for resource, quantity in usage.billed.items())
