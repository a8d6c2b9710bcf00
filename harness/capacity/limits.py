"""Where a search for a capacity starts, how far it goes, and how close it comes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Load = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Limits(BaseModel):
    """Loads are factors of the experiment's own load."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Load = 1.0
    lowest: Load = 1 / 16
    highest: Load = 64.0
    tolerance: float = Field(default=0.05, ge=0.005, le=1)
    """A bracket is narrow enough if its ends differ by this share at most."""
    checks: bool = True
    """Test a load below and one above the bracket, which a monotone system passes and fails."""

    points: PositiveInt = 40
    """Most loads to test; a search of a system that is not monotone may end with a wide bracket."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.lowest <= self.start <= self.highest:
            raise ValueError(
                f"lowest <= start <= highest is wanted, got {self.lowest:g}, {self.start:g},"
                f" {self.highest:g}"
            )
        return self
