"""A condition under which a comparison fails: ``ttft_s.p95 > +10%``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import HarnessError

_FORM = re.compile(r"\s*([\w.]+)\s*([<>])\s*([+-]\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """Fails if ``metric`` changed by more (``rises``) or by less than ``change`` from the baseline;
    0.1 is +10 %. ``text``: as given."""

    text: str
    metric: str
    rises: bool
    change: float

    def beyond(self, ratio: float) -> bool:
        """Whether a ratio to the baseline is past the limit."""
        limit = 1 + self.change
        return ratio > limit if self.rises else ratio < limit


def gate(text: str) -> Gate:
    """Parse a condition. Raises ``HarnessError``, which shows the form."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise HarnessError(
            f"--fail-if {text!r}: write a metric, > or <, and a signed change in percent, such as"
            " 'ttft_s.p95 > +10%'"
        )
    metric, sign, percent = found.groups()
    return Gate(text.strip(), metric, sign == ">", float(percent) / 100)
