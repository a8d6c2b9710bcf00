"""Formats results as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .suite import Result

_MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "not testable": "[dim]–[/]"}


def show(results: Iterable[Result]) -> Sequence[Result]:
    """Print each result at once, and the table at the end, on standard error."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    seen = []
    for result in results:
        console.print(f"{result.check}: {result.outcome}", highlight=False)
        seen.append(result)
    table = Table("check", "outcome", "why", box=None)
    for result in seen:
        table.add_row(result.check, _MARKS[result.outcome], result.why)
    console.print(table)
    return seen


def as_document(system: str, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "system": system,
        "passed": [each.check for each in results if each.outcome == "passed"],
        "failed": [
            {"check": each.check, "why": each.why} for each in results if each.outcome == "failed"
        ],
        "not_testable": [
            {"check": each.check, "why": each.why}
            for each in results
            if each.outcome == "not testable"
        ],
    }
