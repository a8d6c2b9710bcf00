"""The settings of a peft LoRA (``adapter_config.json``): checked, and which projections they adapt.

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

from .bounded_files import read_json
from .patterns import Matcher, PatternError, Steps, beginning, ending, whole

CONFIG = "adapter_config.json"
_MOST = 4096  # entries of a list or an object

_OF_TRAINING = frozenset(
    {
        "peft_type",
        "peft_version",
        "task_type",
        "base_model_name_or_path",
        "revision",
        "auto_mapping",
        "inference_mode",
        "lora_dropout",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "megatron_core",
        "qalora_group_size",
        "ensure_weight_tying",
    }
)
"""Settings that do not change what an adapter computes. All others that are not in ``_FIELDS`` are
refused if they are set."""

_INITIALIZATIONS = (True, False, None, "gaussian", "eva", "orthogonal", "lora_ga", "mica")
"""Values of ``init_lora_weights`` with which peft leaves the backbone's weights as they are."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Of one projection: y += scaling · B·A·x, with ``rank`` rows of A."""

    rank: int
    scaling: float


def read_settings(adapter_dir: Path) -> Mapping[str, Any]:
    """Read an adapter's settings. Raise ``AdapterError`` if they are of the wrong kind, or ask for
    more than W·x + scaling·B·A·x."""
    path = adapter_dir / CONFIG
    try:
        settings = read_json(path, AdapterError)
    except FileNotFoundError:
        raise AdapterError(f"{adapter_dir}: no {CONFIG}; a peft directory is needed") from None
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise AdapterError(f"{path}: not a LoRA adapter (peft_type must be LORA)")
    used = [name for name in settings.keys() - _OF_TRAINING - _FIELDS.keys() if settings[name]]
    if used:
        name = reprlib.repr(min(used)).strip("'")
        raise AdapterError(f"{path}: {name} is set, which the engine does not compute")
    for name, (fits, wanted) in _FIELDS.items():
        if not fits(settings.get(name)):
            value = reprlib.repr(settings.get(name))
            raise AdapterError(f"{path}: {name} must be {wanted}, got {value}")
    _check_layers(path, settings)
    return settings


def adapted(
    adapter_dir: Path, settings: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Lora]:
    """Return the LoRA of each of the modules ``names`` that checked ``settings`` adapt. Raise
    ``AdapterError`` if a pattern is invalid or takes too long."""
    rule = _Rule(f"{adapter_dir / CONFIG}", settings)
    return {name: rule.lora(name) for name in names if rule.adapts(name)}


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
        return Lora(rank, alpha / (math.sqrt(rank) if self._settings.get("use_rslora") else rank))

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
            return lambda name: name.endswith("_proj")
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


def _check_layers(path: Path, settings: Mapping[str, Any]) -> None:
    layers, pattern = settings.get("layers_to_transform"), settings.get("layers_pattern")
    for name, value in (("layers_to_transform", layers), ("layers_pattern", pattern)):
        if value is not None and isinstance(settings["target_modules"], str):
            raise AdapterError(f"{path}: {name} needs a list of target_modules, not a pattern")
    if pattern and layers is None:
        raise AdapterError(f"{path}: layers_pattern needs layers_to_transform")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _is_positive(value: Any) -> bool:
    if type(value) not in (int, float):
        return False
    try:
        return math.isfinite(value) and value > 0
    except OverflowError:  # an integer beyond the range of floats
        return False


def _is_layer(value: Any) -> bool:
    return type(value) is int


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.]*", value) is not None


def _is_none(value: Any) -> bool:
    return value is None


def _one_or_list(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        values = value if isinstance(value, list) else [value]
        return len(values) <= _MOST and all(map(fits, values))

    return check


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _by_pattern(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict) and len(value) <= _MOST and all(map(fits, value.values()))
    )


_CHOICE = _one_or_list(_is_text)
_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "r": (_is_count, "a positive whole number"),
    "lora_alpha": (_is_positive, "a positive, finite number"),
    "use_rslora": (_or_none(lambda value: type(value) is bool), "true or false"),
    "bias": (lambda value: value in (None, "none"), "none: biases are not computed"),
    "target_modules": (lambda value: bool(value) and _CHOICE(value), "names or a pattern"),
    "exclude_modules": (_or_none(_CHOICE), "names or a pattern"),
    "layers_to_transform": (_or_none(_one_or_list(_is_layer)), "a list of layers"),
    "layers_pattern": (_or_none(_one_or_list(_is_path)), "a name such as layers, or several"),
    "rank_pattern": (_or_none(_by_pattern(_is_count)), "positive whole numbers by pattern"),
    "alpha_pattern": (_or_none(_by_pattern(_is_positive)), "positive, finite numbers by pattern"),
    "init_lora_weights": (
        lambda value: value in _INITIALIZATIONS,
        "one that leaves the backbone's weights as they are (let peft convert the adapter)",
    ),
}
