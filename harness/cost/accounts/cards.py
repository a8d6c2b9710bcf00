"""Accounts by whole cards: a card is paid for as long as anything is held on it, however little."""

from __future__ import annotations

from ..sheet import instance_sheet, price_sheet
from .usage import Usage, overlap_s, seconds

RESOURCES = frozenset({"card_active", "card_idle"})


def whole_cards(usage: Usage, sheet: str) -> float:
    """Price a card as active while a request is in service on it, else as idle."""
    prices = price_sheet(sheet, RESOURCES)
    held_s = sum(map(seconds, usage.held.values()))
    active_s = sum(
        overlap_s(held, usage.busy[device])
        for device, held in usage.held.items()
        if device in usage.busy
    )
    return active_s * prices.usd("card_active") + (held_s - active_s) * prices.usd("card_idle")


def card_hours(usage: Usage, sheet: str) -> float:
    """Price a card by the hour, active or not, as its share of an instance."""
    prices = instance_sheet(sheet)
    hours = sum(map(seconds, usage.held.values())) / 3600
    return hours / prices.devices * prices.usd_per_hour
