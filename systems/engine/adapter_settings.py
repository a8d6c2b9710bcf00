"""Reads the settings of a peft LoRA (``adapter_config.json``), and checks each of them."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from systems.errors import AdapterError

from .bounded_files import read_json

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
