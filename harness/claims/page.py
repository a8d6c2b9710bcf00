"""The tables of claims as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .claim import Claim, Finding


def table(claims: Sequence[Claim]) -> str:
    """Return a row per claim: its first finding."""
    head = "| | paper | ours | 95 % | | verdict |\n|---|---|---|---|---|---|\n"
    return head + "".join(_line(_short(claim)) for claim in claims)


def in_full(claims: Sequence[Claim]) -> str:
    """Return a row per finding, with its set-up, and below what was assumed, by number."""
    found = dict.fromkeys(each.assumed for claim in claims for each in claim.findings)
    numbers = {assumed: number for number, assumed in enumerate(found, 1)}
    head = "| | paper | in the set-up | ours | 95 % | | verdict | assumed |\n"
    rows = (row for claim in claims for row in _rows(claim, numbers))
    notes = "".join(f"{number}. {assumed}\n" for assumed, number in numbers.items())
    table = head + "|---|---|---|---|---|---|---|--:|\n" + "".join(map(_line, rows))
    return f"{table}\nAssumed:\n\n{notes}"


def _short(claim: Claim) -> tuple[str, ...]:
    first = claim.findings[0]
    about = claim.published.claim, claim.published.paper
    return (*about, first.ours.shown, interval(first), first.ours.mode, _words(first))


def _rows(claim: Claim, numbers: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    about: tuple[str, ...] = (claim.published.claim, claim.published.paper)
    for each in claim.findings:
        told = each.title, each.ours.shown, interval(each), where(each), _words(each)
        yield (*about, *told, str(numbers[each.assumed]))
        about = ("", "")


def where(finding: Finding, begin: str = "**", end: str = "**") -> str:
    """Say whether a finding is live, and on what, or simulated; ``begin``, ``end``: emphasis."""
    on = f", {finding.ours.on}" if finding.ours.on else ""
    return f"{begin}{finding.ours.mode}{end}{on}"


def _words(finding: Finding) -> str:
    return finding.verdict.replace("-", " ")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def interval(finding: Finding) -> str:
    """Format the interval of the first value, in the unit in which it is shown."""
    ours = finding.ours
    if ours.ci95 is None:
        return ""
    ends = [end * ours.scale for end in ours.ci95]
    digits = 2 if ours.scale == 1 else 0 if ends[1] - ends[0] > 2 else 1
    low, high = (f"{end:,.{digits}f}" for end in ends)
    return f"{low}–{high}".replace("-", "−")
