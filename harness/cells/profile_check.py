"""The check against live runs that ships with a device profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHECKS = Path(__file__).parents[2] / "results" / "reference"


def last_check(profile: str, root: Path = CHECKS) -> dict[str, Any] | None:
    """Return the relative errors that the shipped check of ``profile`` found, by
    "record/system/workload" and quantity; None if the profile has no check."""
    path = root / f"fidelity-{profile}.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_bytes())
    return {
        "/".join((cell["record"], cell["system"], cell["workload"])): {
            name: found["error"] for name, found in cell.items() if _compared(found)
        }
        for cell in document["cells"]
    }


def _compared(found: Any) -> bool:
    return isinstance(found, dict) and found.get("error") is not None
