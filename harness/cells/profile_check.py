"""The check against live runs that ships with a device profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from systems.simulation.profile import Profile

CHECKS = Path(__file__).parents[2] / "results" / "reference"


def last_check(profile: Profile, root: Path = CHECKS) -> dict[str, Any] | None:
    """Return the relative errors that the shipped check of ``profile`` found, by
    "record/system/workload" and quantity; None if the profile, as it is, was not checked."""
    path = root / f"fidelity-{profile.name}.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_bytes())
    if document.get("profile_sha256") != profile.sha256:
        return None
    return {
        "/".join((cell["record"], cell["system"], cell["workload"])): {
            name: found["error"] for name, found in cell.items() if _compared(found)
        }
        for cell in document["cells"]
    }


def _compared(found: Any) -> bool:
    return isinstance(found, dict) and found.get("error") is not None
