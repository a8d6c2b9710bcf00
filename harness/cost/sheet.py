"""Price sheets: the price of a resource, with date and source."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from ..errors import HarnessError

BILLED = frozenset({"gpu_memory_active", "gpu_memory_idle", "vcpu_active", "host_memory", "calls"})
"""The resources of the bill of a system that starts when it is called."""


class PriceSheet(BaseModel):
    """Prices by resource: CU per unit, and dollars per CU; with date and source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    date: str
    source: str
    usd_per_cu: float
    cu: Mapping[str, float]
    units: Mapping[str, str]
    sha256: str = ""

    def usd(self, resource: str) -> float:
        """Dollars per unit of a resource."""
        return self.cu[resource] * self.usd_per_cu


class InstanceSheet(BaseModel):
    """Hourly price of a whole instance with ``devices`` GPUs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    date: str
    source: str
    instance: str
    devices: PositiveInt
    usd_per_hour: PositiveFloat
    sha256: str = ""


def price_sheet(name: str, resources: Collection[str] = BILLED) -> PriceSheet:
    """Load a shipped sheet of a serverless platform by name, or a TOML file by path. Raise
    ``HarnessError`` if it lacks the price of one of ``resources``, by default those of a bill."""
    sheet = _read(name, PriceSheet)
    missing = [each for each in sorted(resources) if each not in sheet.cu]
    if missing:
        raise HarnessError(
            f"prices {name!r} have no price of {', '.join(missing)}, only of {', '.join(sheet.cu)}"
        )
    return sheet


def instance_sheet(name: str) -> InstanceSheet:
    """Load a shipped sheet of hourly instances by name, or a TOML file by path."""
    return _read(name, InstanceSheet)


Sheet = TypeVar("Sheet", PriceSheet, InstanceSheet)


def _read(name: str, kind: type[Sheet]) -> Sheet:
    folder = Path(str(files("harness") / "prices"))
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.exists():
        if name.endswith(".toml"):
            raise HarnessError(f"price file {name} does not exist")
        known = ", ".join(sorted(sheet.stem for sheet in folder.glob("*.toml")))
        raise HarnessError(f"prices {name!r} are unknown; known: {known}, or a .toml file")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    try:
        return kind.model_validate({**tomllib.loads(content.decode()), "sha256": digest})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HarnessError(f"prices {path.name}: {place}: {first['msg']}") from error
