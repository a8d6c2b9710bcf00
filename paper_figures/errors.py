"""The error for records without the data of a figure."""

from __future__ import annotations

from harness.errors import HarnessError


class NothingToDrawError(HarnessError):
    """The records lack the figure's data. The figure is skipped; the message is the reason."""
