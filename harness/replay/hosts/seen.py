"""What a run keeps of a host that load came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadHost:
    """``offset_ns``: its clock less the harness's as it was when the run began, right to
    ``error_ns``; every time that it tells has that error. ``last_offset_ns``: as the run ended.
    ``same_clock``: it is the harness's own clock, and nothing was corrected."""

    name: str
    same_clock: bool
    offset_ns: int
    error_ns: int
    last_offset_ns: int
    lost: bool = False
    """It was gone before its share was done."""
