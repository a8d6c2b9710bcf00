"""A system is a choice of policies. One file a seam, a variant is a class in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..estimates import Rate, SlidingWindow
from .admission import Admission, AdmitAll
from .batching import Batching
from .keep_alive import FixedKeepAlive, KeepAlive
from .offloading import Offloading
from .placement import EarliestStart, Placement
from .preloading import Preloading
from .scaling import Scaling, WaitedAsLong
from .sharing import Sharing

_SEAMS = (
    "sharing",
    "preloading",
    "batching",
    "offloading",
    "keep_alive",
    "placement",
    "admission",
    "scaling",
)


def _last_minute() -> Rate:
    return SlidingWindow(60_000_000_000)


@dataclass(frozen=True, slots=True)
class Policies:
    """The choices that make a system; ``names`` is what its manifest says of them."""

    sharing: Sharing
    preloading: Preloading
    batching: Batching
    offloading: Offloading
    keep_alive: KeepAlive = field(default_factory=FixedKeepAlive)
    placement: Placement = field(default_factory=EarliestStart)
    admission: Admission = field(default_factory=AdmitAll)
    scaling: Scaling = field(default_factory=WaitedAsLong)
    new_rate: Callable[[], Rate] = _last_minute
    """How the rate of a function is told."""

    @property
    def names(self) -> dict[str, str]:
        return {seam: getattr(self, seam).name for seam in _SEAMS}
