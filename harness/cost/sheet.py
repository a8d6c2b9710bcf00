"""Price sheets: what a resource costs, as listed by whom and when."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..errors import HarnessError


class PriceSheet(BaseModel):
    """Prices by resource: CU per unit, and dollars per CU; dated and with a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    date: str
    source: str
    usd_per_cu: float
    cu: Mapping[str, float]
    units: Mapping[str, str]
    sha256: str = ""

    def usd(self, resource: str) -> float:
        """Dollars per unit."""
        return self.cu[resource] * self.usd_per_cu


def price_sheet(name: str) -> PriceSheet:
    """A sheet that ships, by name, or a TOML by path."""
    folder = Path(str(files("harness") / "prices"))
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(sheet.stem for sheet in folder.glob("*.toml")))
        raise HarnessError(f"prices {name!r} are unknown; known: {known}, or a .toml file")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return PriceSheet.model_validate({**tomllib.loads(content.decode()), "sha256": digest})
