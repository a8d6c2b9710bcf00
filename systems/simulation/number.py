"""A number of a device profile, with its source."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Number(Frozen):
    """A value and its source. ``kind``: measured, published (a data sheet, a paper), or derived
    from such numbers by the stated arithmetic."""

    value: float = Field(ge=0)
    kind: Literal["measured", "published", "derived"]
    source: str = Field(min_length=8)
