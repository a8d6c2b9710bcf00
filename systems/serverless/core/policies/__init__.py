"""A system is a choice of policies. One file a seam, a variant is a class in it."""

from __future__ import annotations

from dataclasses import dataclass

from .batching import Batching
from .keep_alive import KeepAlive
from .offloading import Offloading
from .placement import Placement
from .preloading import Preloading
from .sharing import Sharing


@dataclass(frozen=True, slots=True)
class Policies:
    """The choices that make a system; ``names`` is what its manifest says of them."""

    sharing: Sharing
    preloading: Preloading
    batching: Batching
    offloading: Offloading
    keep_alive: KeepAlive
    placement: Placement

    @property
    def names(self) -> dict[str, str]:
        return {seam: getattr(self, seam).name for seam in self.__slots__}
