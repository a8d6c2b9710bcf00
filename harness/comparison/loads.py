"""Describes how a load was made, to distinguish two loads of one name by their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def made(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return source and transforms by name, without seeds: equal for all seeds of a load."""
    if provenance is None:
        return {}
    steps: dict[str, Any] = {}
    for step in provenance.get("transforms", ()):
        name = step["name"]
        again = sum(each.partition("-again")[0] == name for each in steps)
        steps[name + "-again" * again] = _unseeded(step["parameters"])
    return {"source": provenance.get("source"), **steps}


def _unseeded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unseeded(inner) for key, inner in value.items() if key != "seed"}
    if isinstance(value, list):
        return [_unseeded(inner) for inner in value]
    return value
