"""The table of claims as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .claim import Claim


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
    """Format the interval of the first value, in the unit in which it is shown."""
    ours = claim.ours
    if ours is None or ours.ci95 is None:
        return ""
    ends = [end * ours.scale for end in ours.ci95]
    digits = 2 if ours.scale == 1 else 0 if ends[1] - ends[0] > 2 else 1
    low, high = (f"{end:,.{digits}f}" for end in ends)
    return f"{low}–{high}"
