"""Accountings: how the cost of systems that start when they are called and of systems that are kept
up is computed side by side. accountings.toml lists them."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, field_validator

from .accounts import ACCOUNTS, Usage


class Priced(BaseModel):
    """An account and its price sheet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str
    sheet: str

    @field_validator("account")
    @classmethod
    def _known(cls, account: str) -> str:
        if account not in ACCOUNTS:
            raise ValueError(f"account {account!r} is unknown; known: {', '.join(ACCOUNTS)}")
        return account

    def usd(self, usage: Usage) -> float:
        return ACCOUNTS[self.account](usage, self.sheet)


class Accounting(BaseModel):
    """``title``: what is paid for. ``started``: of systems that start when they are called;
    ``kept_up``: of those that are kept up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    started: Priced
    kept_up: Priced

    def usd(self, usage: Usage) -> float:
        """Return the cost of ``usage`` in dollars."""
        return (self.kept_up if usage.rented else self.started).usd(usage)


def accountings() -> dict[str, Accounting]:
    """Return all accountings by name."""
    text = (files("harness") / "cost" / "accountings.toml").read_text(encoding="utf-8")
    return {name: Accounting(name=name, **about) for name, about in tomllib.loads(text).items()}
