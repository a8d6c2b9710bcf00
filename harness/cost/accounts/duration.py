"""The duration account: each call pays for a GPU of one size from its send to its last token, and
nothing is paid for between calls."""

from __future__ import annotations

from ..sheet import price_sheet
from .usage import Usage

RESOURCES = frozenset({"call_duration", "calls"})


def duration(usage: Usage, sheet: str) -> float:
    prices = price_sheet(sheet, RESOURCES)
    return usage.calls_s * prices.usd("call_duration") + usage.calls * prices.usd("calls")
