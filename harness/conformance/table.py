"""Formats results as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .suite import Result

_MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "not testable": "[dim]–[/]"}


def told(results: Iterable[Result]) -> Sequence[Result]:
    """Print each result at once on standard error, and return them all."""
    from rich.console import Console

    console = Console(stderr=True)
    seen = []
    for result in results:
        console.print(f"{result.check}: {result.outcome}", highlight=False)
        seen.append(result)
    return seen


def show(results: Sequence[Result]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "outcome", "why", box=None)
    for result in results:
        table.add_row(result.check, _MARKS[result.outcome], escape(result.why))
    Console().print(table)


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
