"""Measures which architecture runs on which device, at which isolation level, with which form of
adapter as transformers and peft do, in float32, and records it for docs/models.md:

    python -m tests.systems.engine.architectures.matrix [cores] [card] && python -m harness.readme

Measures the cells of the devices that are named, or of those of this machine; the others stay.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.places import REFERENCE

from .forms import FORMS, NONE
from .traced import CARD_EXACT, EXACT, compared, requests, run
from .variants import VARIANTS, make
from .ways import CARD, CORES, LEVELS, WAYS, Loaded

RECORD = REFERENCE / "models.json"
DEVICES = ("cores", "card")
EQUAL, NOT_RUN = "equal", "not run yet"
Cells = dict[str, dict[str, dict[str, dict[str, str]]]]
"""Device → isolation level → architecture → form of adapter → verdict."""


def recorded() -> Cells:
    """Return the cells that were measured last."""
    found: Cells = json.loads(RECORD.read_bytes())
    return found


def verdicts(level: str, device: str, loaded: Loaded) -> dict[str, str]:
    """Return the verdict of each form."""
    asked, exact = requests(), CARD_EXACT if loaded.device == "cuda" else EXACT
    found = compared(run(WAYS[level, device], loaded, asked), asked, loaded)
    return {
        form: EQUAL if each.same and each.furthest < exact else f"differs: {each.furthest:.1g}"
        for form, each in found.items()
    }


def _measured(device: str, folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    place, engine = ("cuda", CARD) if device == "card" else ("cpu", CORES)
    models = {name: Loaded.of(make(name, folder), device=place) for name in VARIANTS}
    return {
        level: {name: verdicts(level, engine, loaded) for name, loaded in models.items()}
        for level in LEVELS
    }


def unmeasured() -> Cells:
    """Return all cells without a verdict."""
    forms = dict.fromkeys((NONE, *FORMS), NOT_RUN)
    return {
        device: {level: {name: dict(forms) for name in VARIANTS} for level in LEVELS}
        for device in DEVICES
    }


def main(devices: Sequence[str]) -> None:
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    cells = unmeasured() | (recorded() if RECORD.exists() else {})
    here = DEVICES if torch.cuda.is_available() else DEVICES[:1]
    for device in devices or here:
        with tempfile.TemporaryDirectory() as folder:
            cells[device] = _measured(device, Path(folder))
    RECORD.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
