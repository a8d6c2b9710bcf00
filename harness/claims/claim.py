"""Data types: a published result, our result in a set-up with the verdict, and all of a result."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..stats import Interval

Verdict = Literal["holds", "direction-holds", "does-not-hold"]


class Published(BaseModel):
    """A published result. ``values``: in SI units and shares, in the form that ``rule`` expects.
    ``stands``: where it is published, by the authors (a) or in a digest of their paper (d).
    ``priced``: whether it depends on how costs are computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    claim: str
    paper: str
    values: tuple[float, ...]
    rule: Literal["gain", "speed-up", "penalty", "level", "order", "limit", "share"]
    stands: str
    priced: bool = False


@dataclass(frozen=True, slots=True)
class Ours:
    """Our result. ``values`` correspond to the published ones; ``ci95`` is the interval of the
    first; ``shown``: for display; ``mode``: live or simulated; ``why``: the data behind it and the
    differences from the paper's set-up."""

    values: tuple[float, ...]
    shown: str
    mode: Literal["live", "simulated"]
    why: str
    ci95: Interval | None = None
    scale: float = 1.0
    """Factor from ``ci95`` to the unit of ``shown``."""
    on: str = ""
    """What a live result was measured on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Our result in one set-up and the verdict on it. ``title``, ``assumed``: the set-up in words,
    and what had to be assumed for it."""

    set_up: str
    title: str
    assumed: str
    ours: Ours
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        ours = self.ours
        return {
            "set_up": self.set_up,
            "title": self.title,
            "assumed": self.assumed,
            "ours": ours.shown,
            "ours_values": list(ours.values),
            "ci95": ours.ci95 and list(ours.ci95),
            "mode": ours.mode,
            "on": ours.on or None,
            "verdict": self.verdict,
            "why": ours.why,
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """A published result and what was found of it, in each set-up. The first finding is the one in
    the paper's own set-up."""

    published: Published
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.published.id,
            "claim": self.published.claim,
            "paper": self.published.paper,
            "paper_values": list(self.published.values),
            "stands": self.published.stands,
            "findings": [each.as_dict() for each in self.findings],
        }


def published() -> list[Published]:
    """Load the published results, in the paper's order."""
    text = (files("harness") / "claims" / "published.toml").read_text(encoding="utf-8")
    return [Published(id=id_, **about) for id_, about in tomllib.loads(text).items()]
