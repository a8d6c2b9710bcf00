"""The check against a live run that ships with a device profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHECKS = Path(__file__).parents[2] / "results" / "reference"
COMPARED = ("ttft_mean_s", "ttft_p95_s", "cold", "cost_usd")


def last_check(profile: str, root: Path = CHECKS) -> dict[str, Any] | None:
    """Return the errors that the shipped check of ``profile`` found, by "system/workload"; None if
    the profile has no check."""
    path = root / f"fidelity-{profile}.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_bytes())
    return {
        f"{cell['system']}/{cell['workload']}": {n: cell[n]["error"] for n in COMPARED}
        for cell in document["cells"]
    }
