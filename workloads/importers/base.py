"""The interface of an importer: a module (or object) with ``FORMAT``, ``sniff`` and ``read``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import WorkloadError
from ..lengths import Lengths
from ..trace import Workload
from .named_columns import NamedColumns


@dataclass(frozen=True)
class Format:
    """Description of a format, independent of any file."""

    name: str
    source: str
    """The owner of the trace, and where it is published."""
    licence: str
    attribution: str
    clock: str
    """Origin and unit of its times, such as ``UTC wall clock``."""
    resolution_ns: int
    """Resolution of its times, as published."""


@dataclass(frozen=True)
class Options:
    """Options of an import."""

    skip_bad: bool = False
    """Skip bad rows and count them in the provenance, instead of refusing the file."""
    seed: int = 0
    """Seed of the streams that expand counts and spread quantised times."""
    expansion: str = "uniform"
    """Rule that expands counts per minute to arrivals."""
    part: str = ""
    """Part of an archive that holds several, such as ``language/m-small``."""
    start_s: float = 0.0
    duration_s: float | None = None
    """Stretch of the source to take, in its own time; None: to its end."""
    columns: NamedColumns | None = None
    """Names, time unit and delimiter of a CSV of one's own; None: the format's."""
    lengths: tuple[Lengths, Lengths] | None = None
    """Distributions of prompt and output lengths for requests without lengths. None: such requests
    are left out if others have lengths, else they are placeholders of one token."""

    def __post_init__(self) -> None:
        """Raise ``WorkloadError`` if the stretch is no time."""
        if not 0 <= self.start_s < math.inf:
            raise WorkloadError(f"--from {self.start_s:g}: wanted: number ≥ 0")
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise WorkloadError(f"--for {self.duration_s:g}: wanted: number > 0")


class Importer(Protocol):
    """Found by name, or by ``sniff`` on the first bytes (decompressed) of a file."""

    @property
    def FORMAT(self) -> Format: ...  # noqa: N802

    def sniff(self, path: Path, head: bytes, /) -> bool:
        """Whether the file has this format. Never raises; ``head`` may end within a row."""

    def read(self, path: Path, options: Options, /) -> Workload:
        """Read the whole file. Raises ``WorkloadError`` if it cannot be read or has bad rows."""
