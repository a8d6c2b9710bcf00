"""A system is a policy set. One file per seam; each variant is a class in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

from ..estimates import Rate, SlidingWindow
from ..policy import Policy
from .admission import Admission, AdmitAll
from .batching import Batching
from .keep_alive import FixedKeepAlive, KeepAlive
from .offloading import Offloading
from .placement import EarliestCompletion, Placement
from .preloading import Preloading
from .scaling import Scaling, WaitedAsLong
from .sharing import Sharing


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one controller, one field per seam."""

    sharing: Sharing
    preloading: Preloading
    batching: Batching
    offloading: Offloading
    keep_alive: KeepAlive
    placement: Placement
    admission: Admission
    scaling: Scaling

    def __iter__(self) -> Iterator[Policy]:
        return (getattr(self, seam.name) for seam in fields(self))

    @property
    def names(self) -> dict[str, str]:
        """The name of each policy, by seam."""
        return {seam.name: getattr(self, seam.name).name for seam in fields(self)}


def _last_minute() -> Rate:
    return SlidingWindow(60_000_000_000)


@dataclass(frozen=True)
class PolicySet:
    """A factory for the policy of each seam. Each controller makes policies of its own, so no two
    share state."""

    sharing: Callable[[], Sharing]
    preloading: Callable[[], Preloading]
    batching: Callable[[], Batching]
    offloading: Callable[[], Offloading]
    keep_alive: Callable[[], KeepAlive] = FixedKeepAlive
    placement: Callable[[], Placement] = EarliestCompletion
    admission: Callable[[], Admission] = AdmitAll
    scaling: Callable[[], Scaling] = WaitedAsLong
    new_rate: Callable[[], Rate] = _last_minute
    """Creates the estimator of the request rate of one function."""

    def make(self) -> Policies:
        """Create the policies of one controller."""
        return Policies(
            sharing=self.sharing(),
            preloading=self.preloading(),
            batching=self.batching(),
            offloading=self.offloading(),
            keep_alive=self.keep_alive(),
            placement=self.placement(),
            admission=self.admission(),
            scaling=self.scaling(),
        )

    @property
    def forks(self) -> bool:
        """Whether instances are forked from a template."""
        return self.preloading().forks

    @property
    def back_to_back(self) -> bool:
        """Whether a batch that came during another one's prefill begins before a decode step."""
        return self.batching().back_to_back

    @property
    def template_libraries(self) -> bool:
        """Whether the template holds the libraries."""
        return self.preloading().template_libraries
