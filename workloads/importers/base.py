"""What an importer is: a module (or object) with ``FORMAT``, ``sniff`` and ``read``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..lengths import Lengths
from ..trace import Workload


@dataclass(frozen=True)
class Format:
    """What is known of a format before a file of it is opened."""

    name: str
    source: str
    """Whose trace it is, and where it is published."""
    licence: str
    attribution: str
    clock: str
    """What its times count from and in which unit, such as ``UTC wall clock``."""
    resolution_ns: int
    """The smallest step its times can make, as published."""


@dataclass(frozen=True)
class Options:
    """What an import is asked to do beyond reading."""

    skip_bad: bool = False
    """Leave bad rows out, counted in the provenance, rather than refuse the file."""
    seed: int = 0
    """Of the keyed streams that expand counts and spread quantised times."""
    expansion: str = "uniform"
    """By which rule counts per minute become arrivals."""
    part: str = ""
    """Which part of an archive that holds several, such as ``language/m-small``."""
    start_s: float = 0.0
    duration_s: float | None = None
    """Which stretch of a source that is too long to be read whole, from its beginning."""
    lengths: tuple[Lengths, Lengths] | None = None
    """What prompts and answers are drawn from where the source has no lengths; None: such requests
    are left out where others have lengths, and else are placeholders of one token."""


class Importer(Protocol):
    """Found by name, or by ``sniff`` over the first bytes (decompressed) of a file."""

    @property
    def FORMAT(self) -> Format: ...  # noqa: N802

    def sniff(self, path: Path, head: bytes, /) -> bool:
        """Whether the file is of this format. Never raises; ``head`` may end inside a row."""

    def read(self, path: Path, options: Options, /) -> Workload:
        """The whole file. ``WorkloadError`` where it cannot be read or holds bad rows."""
