"""The record of a load host in a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadHost:
    """``offset_ns``: its clock minus the harness's at the start of the run, with an error of up to
    ``error_ns``, which all its times have. ``last_offset_ns``: the offset at the end of the run.
    ``same_clock``: both use one clock, so no times were corrected."""

    name: str
    same_clock: bool
    offset_ns: int
    error_ns: int
    last_offset_ns: int
    lost: bool = False
    """It disconnected before its part had ended."""
