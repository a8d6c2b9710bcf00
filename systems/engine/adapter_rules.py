"""Which projections a peft LoRA adapts, at which rank and factor, by its settings.

The rules are peft's (``tuners_utils.check_target_module_exists``, ``other.get_pattern_key``). They
are computed here, not by peft, because patterns come from a tenant (:mod:`.patterns`).
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systems.errors import AdapterError

from .adapter_settings import CONFIG
from .patterns import Matcher, PatternError, Steps, beginning, ending, whole


@dataclass(frozen=True, slots=True)
class Lora:
    """Of one projection: y += scaling · B·A·x, with ``rank`` rows of A."""

    rank: int
    scaling: float


def adapted(
    adapter_dir: Path, settings: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Lora]:
    """Return the LoRA of each of the modules ``names`` that checked ``settings`` adapt. Raise
    ``AdapterError`` if a pattern is invalid or takes too long."""
    rule = _Rule(f"{adapter_dir / CONFIG}", settings)
    return {name: rule.lora(name) for name in names if rule.adapts(name)}


def common_scaling(settings: Mapping[str, Any]) -> float:
    """Return the scaling of a projection that no pattern of the ``settings`` matches."""
    return _scaling(settings, settings["r"], settings["lora_alpha"])


def _scaling(settings: Mapping[str, Any], rank: int, alpha: float) -> float:
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


class _Rule:
    """peft's rule of which modules are adapted, and how."""

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        self._path, self._settings, self._steps = path, settings, Steps()
        self._excluded = self._choice("exclude_modules")
        self._targeted = self._choice("target_modules")
        self._layers = _as_list(settings.get("layers_to_transform"))
        self._in_layers = [
            self._told("layers_pattern", beginning, rf"(?:^|.*?\.){pattern}\.\d+\.")
            for pattern in _as_list(settings.get("layers_pattern"))
        ]
        self._ranks, self._alphas = map(self._keys, ("rank_pattern", "alpha_pattern"))

    def adapts(self, name: str) -> bool:
        return not self._excluded(name) and self._targeted(name) and self._layer_fits(name)

    def lora(self, name: str) -> Lora:
        rank = self._first(self._ranks, name, self._settings["r"])
        alpha = self._first(self._alphas, name, self._settings["lora_alpha"])
        return Lora(rank, _scaling(self._settings, rank, alpha))

    def _layer_fits(self, name: str) -> bool:
        if not self._layers:
            return True
        layer = re.search(r"\.(\d+)\.", name)
        matched = not self._in_layers or any(matches(name) for matches in self._in_layers)
        return matched and layer is not None and int(layer[1]) in self._layers

    def _choice(self, field: str) -> Matcher:
        """Return what a list of names or a pattern matches."""
        chosen = self._settings.get(field)
        if not chosen:
            return lambda name: False  # noqa: ARG005
        if isinstance(chosen, list):
            wanted = frozenset(chosen)
            return lambda name: not wanted.isdisjoint(_endings(name))
        if field == "target_modules" and chosen.lower() == "all-linear":
            return lambda name: name.endswith("_proj")  # all but the embedding and the head
        return self._told(field, whole, chosen)

    def _keys(self, field: str) -> list[tuple[Matcher, Any]]:
        given = self._settings.get(field) or {}
        return [(self._told(field, ending, key), value) for key, value in given.items()]

    def _first(self, keys: list[tuple[Matcher, Any]], name: str, otherwise: Any) -> Any:
        return next((value for matches, value in keys if matches(name)), otherwise)

    def _told(self, field: str, make: Callable[[str, Steps], Matcher], pattern: str) -> Matcher:
        """Make a matcher whose errors name the file, the field and the pattern."""

        def told(error: PatternError) -> AdapterError:
            return AdapterError(f"{self._path}: {field}: {reprlib.repr(pattern)} {error}")

        try:
            matches = make(pattern, self._steps)
        except PatternError as error:
            raise told(error) from None

        def match(name: str) -> bool:
            try:
                return matches(name)
            except PatternError as error:
                raise told(error) from None

        return match


def _endings(name: str) -> list[str]:
    """Return a name, and what follows each of its dots."""
    parts = name.split(".")
    return [".".join(parts[index:]) for index in range(len(parts))]


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None or value == "" else [value]
