"""The table of claims as Markdown, for the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .claim import Claim

BEGIN, END = "<!-- claims: generated, see harness/claims -->", "<!-- end of claims -->"


def table(claims: Sequence[Claim]) -> str:
    head = "| | paper | ours | 95 % | | verdict |\n|---|---|---|---|---|---|\n"
    return head + "".join(map(_row, claims))


def _row(claim: Claim) -> str:
    ours = claim.ours
    cells = (
        claim.published.claim,
        claim.published.paper,
        ours.shown if ours else "",
        interval(claim),
        ours.mode if ours else "",
        claim.verdict.replace("-", " "),
    )
    return "| " + " | ".join(cells) + " |\n"


def interval(claim: Claim) -> str:
    """Of the first number, in the unit in which it is shown."""
    ours = claim.ours
    if ours is None or ours.ci95 is None:
        return ""
    scale = 100 if claim.published.rule in {"gain", "penalty"} else 1
    digits = 0 if scale == 100 else 2
    low, high = (f"{end * scale:.{digits}f}" for end in ours.ci95)
    return f"{low}–{high}"


def put_into(page: Path, claims: Sequence[Claim]) -> str:
    """The page's text with the table between its marks made anew."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(claims)}{END}{after}"
