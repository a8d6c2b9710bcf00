"""What a figure says of records that it cannot show."""

from __future__ import annotations

from harness.errors import HarnessError


class NothingToDrawError(HarnessError):
    """The records lack what the figure shows: it is skipped, and this says why."""
