"""Pydantic's errors in words of ours: a line for each mistake, with the key, what is wrong, and
what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails


def mistakes(error: ValidationError) -> list[str]:
    """Return a line for each mistake, of the models in keys/models.py with the kind of value that
    is wanted; first the file or other place, if it was noted in the error."""
    from .keys.models import schema_of

    places = [f"{note}: " for note in getattr(error, "__notes__", ())]
    root, found = schema_of(error.title), error.errors()
    lines = ("".join([*places[:1], _line(each, root)]) for each in found if _is_cause(each, found))
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


@contextmanager
def noted(place: str) -> Iterator[None]:
    """Note in pydantic's error where the mistake is: a file, or what else has the keys."""
    from pydantic import ValidationError

    try:
        yield
    except ValidationError as error:
        error.add_note(place)
        raise


def option_mistake(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first mistake in ``model``, whose keys are options of a command."""
    from .keys.kinds import kind

    first, root = error.errors()[0], model.model_json_schema()
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0])
    return f"--{name} {first['input']:g}: wanted: {kind(root['properties'][name], root)}"


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
