"""Data types: a published result, our result, and both with the verdict."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..stats import Interval

Verdict = Literal["holds", "direction-holds", "does-not-hold", "not-testable"]


class Published(BaseModel):
    """A published result. ``values``: in SI units and shares, in the form that ``rule`` expects.
    ``stands``: where it is published, by the authors (a) or in a digest of their paper (d)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    claim: str
    paper: str
    values: tuple[float, ...]
    rule: Literal["gain", "speed-up", "penalty", "level", "order", "limit", "share"]
    stands: str


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


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of ``slbench claims``."""

    published: Published
    ours: Ours | None
    verdict: Verdict
    why: str

    def as_dict(self) -> dict[str, Any]:
        ours = self.ours
        return {
            "id": self.published.id,
            "claim": self.published.claim,
            "paper": self.published.paper,
            "paper_values": list(self.published.values),
            "stands": self.published.stands,
            "ours": ours and ours.shown,
            "ours_values": ours and list(ours.values),
            "ci95": ours and ours.ci95 and list(ours.ci95),
            "mode": ours and ours.mode,
            "verdict": self.verdict,
            "why": self.why,
        }


def published() -> list[Published]:
    """Load the published results, in the paper's order."""
    text = (files("harness") / "claims" / "published.toml").read_text(encoding="utf-8")
    return [Published(id=id_, **about) for id_, about in tomllib.loads(text).items()]
