"""The base of every policy, and the notices that the core gives policies.

A policy is made new for each controller, so it may keep state of its own. What happens to
instances and devices is told to it by the methods below; each does nothing unless a policy
overrides it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

if TYPE_CHECKING:
    from .estimates import Rate
    from .state import Instance, State


class PolicyOptions(Protocol):
    """The options of a system that its policies may read."""

    @property
    def max_prefills(self) -> int: ...

    @property
    def batch_hold(self) -> Literal["contended", "always"]: ...

    @property
    def batch_delay_s(self) -> float | None: ...

    @property
    def template(self) -> Literal["libraries", "containers"]: ...

    def new_rate(self) -> Rate: ...


class Policy:
    """One decision of a system; ``name`` is what an experiment and a manifest call it."""

    name: ClassVar[str]

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:  # noqa: ARG003
        """Make the policy as the options of its system say. By default it reads none of them."""
        return cls()

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:
        """``instance`` is idle or asleep. Told again when it is weighed again."""

    def left_rest(self, instance: Instance) -> None:
        """``instance`` rests no longer: it runs, starts, gives bytes back, stops or is gone."""

    def device_left(self, device: str) -> None:
        """``device`` is gone, after all of its instances."""


class Notices:
    """Passes each notice on to the policies that override it, and to no other."""

    __slots__ = ("device_left", "left_rest", "rested")

    def __init__(self, policies: Iterable[Policy]) -> None:
        told = list(policies)
        self.rested = [p.rested for p in told if type(p).rested is not Policy.rested]
        self.left_rest = [p.left_rest for p in told if type(p).left_rest is not Policy.left_rest]
        self.device_left = [
            p.device_left for p in told if type(p).device_left is not Policy.device_left
        ]
