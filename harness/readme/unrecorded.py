"""Tables of what was measured once, without a record of it: each says so, and where it is from."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from .block import Block

FILE = "unrecorded.toml"
MARK = "**Measured once, no record committed**"


class Unrecorded(BaseModel):
    """What unrecorded.toml says of a measurement; its head says what the keys mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    source: str
    on: str
    day: date
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"{row[0]}: {len(row)} cells under {len(self.heads)} heads")
        return self


def unrecorded() -> dict[str, Unrecorded]:
    """Return the measurements by name."""
    text = (files("harness") / "readme" / FILE).read_text(encoding="utf-8")
    return {name: Unrecorded(**about) for name, about in tomllib.loads(text).items()}


def unrecorded_table(block: Block, reference: Path) -> str:
    """The table of the measurement that has the block's name."""
    del reference  # No record has these numbers.
    found = unrecorded()[block.name]
    head = f"{found.what}. {MARK}: on {found.on}, {found.day}; {found.source}.\n\n"
    rule = ("---", *["--:"] * (len(found.heads) - 1))
    return head + "".join(f"| {' | '.join(line)} |\n" for line in (found.heads, rule, *found.rows))
