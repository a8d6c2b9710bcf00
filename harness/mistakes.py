"""Pydantic's errors in words of ours: a line for each mistake, with the key, what is wrong, and
what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def mistakes(error: ValidationError) -> list[str]:
    """Return a line for each mistake, of an experiment with the kind of value that is wanted; first
    the file, if it was noted in the error."""
    files = [f"{note}: " for note in getattr(error, "__notes__", ())]
    root, found = _schema(error.title), error.errors()
    lines = ("".join([*files[:1], _line(each, root)]) for each in found if _is_cause(each, found))
    return list(dict.fromkeys(lines))


def _is_cause(each: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """Whether the error is no consequence of another: of a list without its wrong items, or of a
    default that depends on a wrong value."""
    place = each["loc"]
    within = any(other["loc"][: len(place)] == place != other["loc"] for other in found)
    return each["type"] != "default_factory_not_called" and not within


def first_mistake(error: ValidationError) -> str:
    """Return the first mistake, and how many more there are."""
    first, *others = mistakes(error)
    return f"{first} (and {len(others)} more)" if others else first


def _schema(title: str) -> Mapping[str, Any]:
    """Return the schema of an experiment; of other models, whose errors are rare, none."""
    if title != "Experiment":
        return {}
    from .keys.listing import schema

    return schema()


def _line(each: ErrorDetails, root: Mapping[str, Any]) -> str:
    from .keys.kinds import follow

    node, keys = follow(each["loc"], root) if root else ({}, list(each["loc"]))
    place, words = _place(keys), _words(each, node, root)
    return words if not place or words.startswith(f"{place}:") else f"{place}: {words}"


def _place(parts: Sequence[str | int]) -> str:
    """Write a place as in ``systems[0].options``."""
    told = ""
    for part in parts:
        told += f"[{part}]" if isinstance(part, int) else f".{part}" if told else part
    return told


def _words(each: ErrorDetails, node: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    from .keys.kinds import kind

    if each["type"] == "value_error":
        return each["msg"].removeprefix("Value error, ")
    if each["type"] == "extra_forbidden":
        return _unknown_key(each["loc"], root)
    wanted = kind(node, root) if root else each["msg"]
    if each["type"] == "missing":
        return f"is missing; wanted: {wanted}"
    more = ", at least one" if each["type"] == "too_short" else ""
    return f"{each['input']!r} is not right; wanted: {wanted}{more}"


def _unknown_key(place: Sequence[str | int], root: Mapping[str, Any]) -> str:
    from .keys.kinds import follow

    known = list(follow(place[:-1], root)[0].get("properties", ())) if root else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.6)
    instead = [f"did you mean {near[0]}?"] if near else [f"known: {', '.join(known)}"] * bool(known)
    return "; ".join(["is not a key here", *instead])
