"""Bad rows: counted, the first few shown, and refused unless skipping is requested."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import WorkloadError

SHOWN = 3


@dataclass
class BadRows:
    """The bad rows of one file, by line (the first line is 1)."""

    path: Path
    _lines: list[NDArray[np.int64]] = field(default_factory=list)
    _reasons: dict[int, str] = field(default_factory=dict)

    def add(self, line: int, reason: str) -> None:
        self.add_all(np.array([line]), [reason])

    def add_all(self, lines: NDArray[np.int64], reasons: list[str]) -> None:
        """Add lines, with reasons for the first few; a line may have several reasons."""
        self._lines.append(lines)
        for line, reason in zip(lines.tolist(), reasons, strict=False):
            self._reasons.setdefault(line, reason)
        for line in sorted(self._reasons)[SHOWN:]:
            del self._reasons[line]

    @property
    def lines(self) -> NDArray[np.int64]:
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *self._lines]))

    def settle(self, *, skip: bool) -> dict[str, object]:
        """Return the provenance entry of the skipped rows. Raises ``WorkloadError`` if there are
        bad rows and ``skip`` is False."""
        count = len(self.lines)
        shown = [f"line {line}: {why}" for line, why in sorted(self._reasons.items())]
        if count and not skip:
            what = f"{count} row is bad" if count == 1 else f"{count} rows are bad"
            more = ["…"] if count > len(shown) else []
            raise WorkloadError(
                f"{self.path}: {what} ({'; '.join([*shown, *more])}); correct them or --skip-bad"
            )
        return {"skipped": count, **({"first_skipped": shown} if count else {})}


def quoted(value: object) -> str:
    """Format a value for an error: on one line, truncated if long."""
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
