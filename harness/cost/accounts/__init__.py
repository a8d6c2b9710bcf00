"""Accounts: ways to compute the cost of the same usage, by name. Each takes the usage and the name
of its price sheet and returns dollars."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .cards import card_hours, whole_cards
from .duration import duration
from .measured import measured
from .rented import rented
from .share import share
from .usage import Usage

Account = Callable[[Usage, str], float]

ACCOUNTS: Mapping[str, Account] = {
    "card-hours": card_hours,
    "duration": duration,
    "measured": measured,
    "rented": rented,
    "share": share,
    "whole-cards": whole_cards,
}

__all__ = ["ACCOUNTS", "Account", "Usage"]
