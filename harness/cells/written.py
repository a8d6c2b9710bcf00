"""What a deployment would write into the cache of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.choices import DeploymentChoice

from .deployments import backbones_of, dealt

MUCH_BYTES = 1_000_000_000
"""From this size on, a command asks before it writes."""


@dataclass(frozen=True, slots=True)
class Written:
    """Models that are not made yet, and about how many bytes they take."""

    what: str
    nbytes: int


def unmade(choice: DeploymentChoice, functions: Sequence[str]) -> list[Written]:
    """Return the backbones and the seeded adapters that a deployment of ``functions`` makes. A
    backbone that does not exist makes nothing: the deployment is refused."""
    from systems.models import presets

    known, owners = presets(), dealt(choice, functions)
    found: list[Written] = []
    for name in backbones_of(choice):
        preset = known.get(name)
        if preset is not None and not preset.made:
            found.append(Written(name, preset.nbytes))
        place = preset.path if preset else Path(name).expanduser()
        if not choice.adapters and (preset is not None or place.is_dir()):
            mine = [id_ for id_ in functions if owners[id_] == place.name]
            found += _adapters(name, place, mine, choice.adapter_rank)
    return found


def _adapters(backbone: str, place: Path, names: Sequence[str], rank: int) -> list[Written]:
    from systems.models.adapters import missing_adapters
    from systems.models.sizes import model_size

    missing = missing_adapters(place, names, rank) if place.is_dir() else names
    if not missing:
        return []
    each = model_size(backbone, "float32", rank, "cpu").adapter_bytes
    return [Written(f"{len(missing)} adapters of {backbone}", len(missing) * each)]
