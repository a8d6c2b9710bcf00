"""Reads experiments from files, with the changes of a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from workloads.unknown import unknown

from .axes import OPEN
from .errors import HarnessError
from .experiment import Experiment
from .yaml_text import parsed


def shipped() -> dict[str, Path]:
    """Return the paths of the experiments that come with the suite, by name."""
    folder = Path(str(files("harness") / "experiments"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(name: str, changes: Mapping[str, Any] | None = None) -> Experiment:
    """Load an experiment by name or ``.yaml`` path, with ``changes`` as for ``from_content``. Raise
    ``HarnessError`` if it does not exist or is no mapping, and pydantic's error if it is malformed,
    which notes the path, or the name if the changes are to blame."""
    path = _find(name)
    content = {"name": path.stem, **_content(path)}
    try:
        return from_content(content, changes)
    except ValidationError as error:
        error.add_note(f"{name}, as changed" if changes and _is_right(content) else str(path))
        raise


def _is_right(content: Mapping[str, Any]) -> bool:
    try:
        from_content(content)
    except ValidationError:
        return False
    return True


def _content(path: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the content of a file, laid over that of the experiment that it ``extends``."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise HarnessError(f"{path}: an experiment is a mapping of keys, see the shipped ones")
    if "extends" not in content:
        return content
    if path in above:
        raise HarnessError(f"{path}: extends itself")
    inherited = _content(_find(str(content.pop("extends"))), (*above, path))
    _merge(inherited, content)
    return inherited


def from_content(given: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Experiment:
    """Build an experiment from the content of a file, which is not modified. ``changes`` (dotted
    key → value) override its keys; in simulated mode its section ``simulated`` does so first. The
    baseline is dropped if ``changes`` replace the systems and it is not among them. Raise
    pydantic's error if it is malformed."""
    content, changes = deepcopy(dict(given)), dict(changes or {})
    otherwise = content.pop("simulated", {})
    if changes.get("mode", content.get("mode")) == "simulated":
        _merge(content, otherwise)
    for key, value in changes.items():
        _lay_over(content, key, value)
    baseline = content.pop("baseline", None) if _replaces_baseline(changes) else None
    experiment = Experiment.model_validate(content)
    return experiment if baseline is None else experiment.with_baseline_if_present(baseline)


def _replaces_baseline(changes: Mapping[str, Any]) -> bool:
    return "systems" in changes and "baseline" not in changes


def _find(name: str) -> Path:
    known = shipped()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if path.exists():
            return path
        raise HarnessError(f"experiment file {name} does not exist")
    raise HarnessError(unknown("experiment", name, list(known), "or a path to a .yaml file"))


def _merge(content: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Override ``content`` with ``over``: mappings key by key, other values as a whole."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict):
            _merge(content[key], value)
        else:
            content[key] = value


def _lay_over(content: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise HarnessError(f"--set {key}: {_no_mapping(parent, place, key, value)}")
    place[last] = value


def _no_mapping(parent: str, there: Any, key: str, value: Any) -> str:
    """Say why nothing can be set below ``parent``, and what sets it in each item of a list."""
    if not isinstance(there, list):
        return f"{parent} is no mapping in this experiment but {there!r}"
    words = f"{parent} is a list in this experiment"
    if not key.startswith(f"{parent}.") or parent not in OPEN or isinstance(value, list | dict):
        return f"{words}; give the whole list"
    return f"{words}; set it in each with --set 'sweep={{{key}: [{json.dumps(value)}]}}'"


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse ``key=value`` of ``--set``; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise HarnessError(f"--set {text}: write key=value, such as deployment.dtype=bfloat16")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise HarnessError(f"--set {text}: {value!r} is not YAML") from error
