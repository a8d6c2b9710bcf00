"""The keys of a catalogue entry. A mistyped one is refused: ignoring it would silently make another
workload than the one that was asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import WorkloadError

FORMS = ("function", "population", "arrivals")
"""The ways to give the arrivals; an entry has one of them."""
_KEYS = ("summary", "source", "duration_s", *FORMS, "prompt", "output")
_OF_EACH = {"function": ("about", "process", "fit"), "arrivals": ("function", "at_s")}
"""The keys of the tables of a list; ``fit``, which nothing reads, says how near a process comes."""


def check_keys(where: str, about: Mapping[str, Any]) -> None:
    """Raise ``WorkloadError`` for the first unknown key, with the nearest known one, or all."""
    # Only listed arrivals can be of another kind than synthetic.
    known = (*_KEYS, "kind") if "arrivals" in about else _KEYS
    for place, keys, allowed in (("", about, known), *_tables(about)):
        for key in keys:
            if key not in allowed:
                raise WorkloadError(f"{where}: {place}{key}: {_instead(key, allowed)}")


def _tables(about: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    for name, allowed in _OF_EACH.items():
        listed = about.get(name, ())
        for index, each in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(each, Mapping):
                yield f"{name}[{index}].", each, allowed


def _instead(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    instead = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"is not a key here; {instead}"
