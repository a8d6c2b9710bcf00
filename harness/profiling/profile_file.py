"""Writes a measured device profile as the simulator reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from .found import Found, Points


def _content(value: float | Points) -> str:
    if isinstance(value, tuple):
        return f"points = [{', '.join(f'[{x:g}, {y:.6g}]' for x, y in value)}]"
    return f"value = {value:.6g}"


def to_toml(name: str, numbers: Mapping[str, Found], machine: str) -> str:
    """Format a profile for the simulator; tables (``table.field``) come last."""
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"# Measured by slbench profile on {machine}.",
        f"name = {json.dumps(name)}",
        f"summary = {json.dumps(f'measured on {machine}')}",
        f"date = {json.dumps(today)}",
        "",
    ]
    table = ""
    for name, (value, source) in numbers.items():
        within, _, field = name.rpartition(".")
        if within != table:
            table = within
            lines += ["", f"[{table}]"]
        about = json.dumps(f"slbench profile, {today}: {source}", ensure_ascii=False)
        lines.append(f'{field} = {{ {_content(value)}, kind = "measured", source = {about} }}')
    return "\n".join(lines) + "\n"
