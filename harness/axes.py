"""The axes of an experiment: keys whose values vary over its cells, together or crossed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

Scalar = bool | int | float | str | None
Axis = Mapping[str, tuple[Scalar, ...]]
"""Dotted keys that vary together, each with as many values."""
Point = Mapping[str, Scalar]
"""A value for every key of every axis."""

OPEN = {"workloads": "overrides", "systems": "options", "deployment": None}
"""What can vary within a run → where its keys are that its model does not have."""
NAMES = ("name", "label")


def as_axes(given: Any) -> Any:
    """Return a mapping as one axis for each of its keys: a grid. A list is a list of axes. Raise
    ``ValueError`` for what is neither, or where values are not in a list."""
    axes = [{key: values} for key, values in given.items()] if isinstance(given, Mapping) else given
    if not isinstance(axes, list | tuple) or not all(isinstance(each, Mapping) for each in axes):
        raise ValueError(f"sweep: write it as key: [values], or as a list of such, not {given!r}")
    for key, values in (item for axis in axes for item in axis.items()):
        listed = values if isinstance(values, list | tuple) else [values]
        if listed is not values or any(isinstance(each, list | Mapping) for each in listed):
            raise ValueError(f"sweep: {key}: list its values, each a number, text or true/false")
    return axes


def check(axes: Sequence[Axis]) -> None:
    """Raise ``ValueError`` for a key that cannot vary, or values that do not fit together."""
    keys = [key for axis in axes for key in axis]
    for key in keys:
        _check_key(key)
        if keys.count(key) > 1:
            raise ValueError(f"sweep: {key} is in two axes; name each key once")
    for axis in axes:
        if not axis or not all(axis.values()):
            raise ValueError(f"sweep: {', '.join(axis) or 'an axis'} has no values; list some")
        if len({len(values) for values in axis.values()}) > 1:
            raise ValueError(f"sweep: {', '.join(axis)} vary together; give each as many values")
    names = [point_name(point) for point in points(axes)]
    if again := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"sweep: {again[0]} is there twice; list each value once")


def _check_key(key: str) -> None:
    section, _, rest = key.partition(".")
    if section not in OPEN or not all(rest.split(".")):
        known = ", ".join(f"{each}.…" for each in OPEN)
        raise ValueError(f"sweep: {key} cannot vary within a run; what can: {known}")
    if rest in NAMES:
        raise ValueError(f"sweep: {key} cannot vary; list several {section} instead")


def points(axes: Sequence[Axis]) -> Iterator[Point]:
    """Yield the points, the last axis varying fastest; without axes one, which is empty."""
    steps = [
        [dict(zip(axis, values, strict=True)) for values in zip(*axis.values(), strict=True)]
        for axis in axes
    ]
    for chosen in product(*steps):
        yield {key: value for step in chosen for key, value in step.items()}


def point_name(point: Point) -> str:
    """Name a point by the last parts of its keys, or by whole keys where those are ambiguous. The
    name is valid as a part of a directory's name."""
    short = short_keys(tuple(point))
    told = ",".join(f"{short[key]}={_text(value)}" for key, value in point.items())
    return told.replace("/", "-")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return each key's last part, or the whole key where two end alike."""
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}


def _text(value: Scalar) -> str:
    return "null" if value is None else str(value)


def laid_over(content: dict[str, Any], point: Point) -> dict[str, Any]:
    """Return ``content`` (a dumped experiment) with the values of ``point``. A key of ``workloads``
    or ``systems`` is set in each of them; one that their models lack is an override, or an option.
    Raise ``ValueError`` for a key below something that is no mapping."""
    for key, value in point.items():
        section, *parts = key.split(".")
        places = content[section] if isinstance(content[section], list) else [content[section]]
        for place in places:
            inner = OPEN[section]
            path = parts if inner is None or parts[0] in place else [inner, *parts]
            _set(place, path, value, key)
    return content


def _set(place: dict[str, Any], path: Sequence[str], value: Scalar, key: str) -> None:
    *parents, last = path
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ValueError(f"sweep: {key}: {parent} is not a mapping")
    place[last] = value
