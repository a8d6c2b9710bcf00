"""Markdown of the generated pages."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LITERAL = re.compile(r"``(.+?)``")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; a cell may have any text."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([_cell(each) for each in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def prose(text: str) -> str:
    """Return a docstring as Markdown: its literals as code, each paragraph in one line."""
    paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
    return "\n\n".join(_LITERAL.sub(r"`\1`", each) for each in paragraphs)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
