"""Writes a measured device profile as the simulator reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from .found import Found

Plain = bool | int | str | Mapping[str, str]


def _content(found: Found) -> str:
    value = found.value
    if isinstance(value, tuple):
        return f"points = [{', '.join(f'[{x:g}, {y:.6g}]' for x, y in value)}]"
    spread = f", spread = {list(found.spread)}" if found.spread else ""
    digits = str(value) if isinstance(value, int) else f"{value:.6g}"
    return f"value = {digits}{spread}"


def _setting(value: Plain) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {json.dumps(each)}' for key, each in value.items())} }}"
    return json.dumps(value)


def to_toml(
    name: str, numbers: Mapping[str, Found], machine: str, settings: Mapping[str, Plain] = {}
) -> str:
    """Format a profile for the simulator. ``settings``: fields that are no numbers and need no
    source. Tables (``table.field``) come last."""
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"# Measured by slbench profile on {machine}.",
        f"name = {json.dumps(name)}",
        f"summary = {json.dumps(f'measured on {machine}')}",
        f"date = {json.dumps(today)}",
        *(f"{field} = {_setting(value)}" for field, value in settings.items()),
        "",
    ]
    table = ""
    for name, found in numbers.items():
        within, _, field = name.rpartition(".")
        if within != table:
            table = within
            lines += ["", f"[{table}]"]
        about = json.dumps(f"slbench profile, {today}: {found.source}", ensure_ascii=False)
        lines.append(f'{field} = {{ {_content(found)}, kind = "{found.kind}", source = {about} }}')
    return "\n".join(lines) + "\n"
