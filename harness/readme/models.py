"""The table of what runs as transformers and peft do, from the last measurement of the cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .block import Block


def models(block: Block, reference: Path) -> str:
    """One row for each architecture, one column for each device and isolation level. A cell has one
    verdict if that of every form of adapter is the same, else those of all forms."""
    cells = json.loads((reference / block.record).read_bytes())
    columns = {
        f"{device}: {level}": names for device in cells for level, names in cells[device].items()
    }
    architectures = next(iter(columns.values()))
    rows = [
        ("architecture", *columns),
        ("---",) * (1 + len(columns)),
        *((each, *(_cell(names[each]) for names in columns.values())) for each in architectures),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(forms: Mapping[str, str]) -> str:
    verdicts = set(forms.values())
    if len(verdicts) == 1:
        return verdicts.pop()
    return "; ".join(f"{form}: {verdict}" for form, verdict in forms.items())
