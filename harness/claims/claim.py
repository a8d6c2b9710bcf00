"""A published result, what we have of it, and the two together."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..stats import Interval

Verdict = Literal["holds", "direction-holds", "does-not-hold", "not-testable"]


class Published(BaseModel):
    """``values`` in SI units and shares, as ``rule`` wants them; ``stands``: where it is said, by
    the authors (a) or a digest of their paper (d)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    claim: str
    paper: str
    values: tuple[float, ...]
    rule: Literal["gain", "speed-up", "penalty", "level", "order", "limit", "share"]
    stands: str


@dataclass(frozen=True, slots=True)
class Ours:
    """``values`` beside the published ones, ``ci95`` of the first; ``shown`` for people; ``mode``
    live or simulated; ``why``: on what it rests and where it differs from the paper's set-up."""

    values: tuple[float, ...]
    shown: str
    mode: Literal["live", "simulated"]
    why: str
    ci95: Interval | None = None
    scale: float = 1.0
    """From ``ci95`` to the unit of ``shown``."""


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
    """The table of published results, in the paper's order."""
    text = (files("harness") / "claims" / "published.toml").read_text(encoding="utf-8")
    return [Published(id=id_, **about) for id_, about in tomllib.loads(text).items()]
