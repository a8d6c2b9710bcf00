"""What ``slbench profile`` found, as the parts of a profile's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .found import Found
from .profile_file import Plain


@dataclass(frozen=True)
class Measured:
    """``numbers``: by field, or ``table.field``; ``settings``: fields that are no numbers;
    ``machine``: what was measured, in words."""

    numbers: Mapping[str, Found]
    settings: Mapping[str, Plain]
    machine: str
