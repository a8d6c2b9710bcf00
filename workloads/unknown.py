"""The error of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_NEAR = 0.8
"""Ratio of equal letters above which a name was meant: a100 is not h100."""


def unknown(what: str, name: str, known: Sequence[str], *more: str) -> str:
    """Say that ``name`` is no ``what``, with the nearest known name if there is a near one, else
    with all. ``more``: what else would be right, such as a path."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    instead = f"did you mean {near[0]}?" if near else f"known: {', '.join([*known, *more])}"
    return f"{what} {name!r} is unknown; {instead}"
