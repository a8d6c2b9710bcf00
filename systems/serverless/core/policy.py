"""The base of every policy, and the notices that the core gives policies.

Each controller creates its own policies, so a policy may keep state. The core calls the notice
methods below when instances and devices change; by default they do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

if TYPE_CHECKING:
    from .estimates import Rate
    from .instance import Instance
    from .state import State


class PolicyOptions(Protocol):
    """The options of a system that its policies may read."""

    @property
    def max_prefills(self) -> int: ...

    @property
    def batch_hold(self) -> Literal["contended", "always"]: ...

    @property
    def prompts_first(self) -> bool: ...

    @property
    def batch_delay_s(self) -> float | None: ...

    @property
    def template(self) -> Literal["libraries", "containers"]: ...

    @property
    def takeover(self) -> Literal["off", "container", "libraries"]: ...

    def new_rate(self) -> Rate: ...


class Policy:
    """Base of the policies of every seam. Experiments and manifests use ``name``."""

    name: ClassVar[str]

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:  # noqa: ARG003
        """Create the policy from the options of its system. The default ignores them."""
        return cls()

    def rested(self, instance: Instance, state: State, now_ns: int) -> None:
        """Note that ``instance`` is idle or asleep. Called again each time it is weighed again."""

    def group_rested(self, group: str, state: State, now_ns: int) -> None:
        """Note that no request of ``group`` waits any more, so its idle instances are to be weighed
        again. By default each one is, by :meth:`rested`."""
        for _, instance in sorted(state.members(group).ready.items()):
            if instance.idle:
                self.rested(instance, state, now_ns)

    def left_rest(self, instance: Instance) -> None:
        """Note that ``instance`` is not idle or asleep any more: it runs, starts, offloads or
        ends."""

    def joins(self, instance: Instance, state: State) -> None:
        """Note that a batch is about to join the requests that ``instance`` runs, which wait while
        its prompts are computed."""

    def device_left(self, device: str) -> None:
        """Note that ``device`` is gone. Its instances were removed before."""


class Notices:
    """Passes each notice to the policies that override it."""

    __slots__ = ("device_left", "group_rested", "joins", "left_rest", "rested")

    def __init__(self, policies: Iterable[Policy]) -> None:
        told = list(policies)
        self.rested = [p.rested for p in told if _overrides(p, "rested")]
        self.group_rested = [
            p.group_rested for p in told if _overrides(p, "rested", "group_rested")
        ]
        self.left_rest = [p.left_rest for p in told if _overrides(p, "left_rest")]
        self.joins = [p.joins for p in told if _overrides(p, "joins")]
        self.device_left = [p.device_left for p in told if _overrides(p, "device_left")]


def _overrides(policy: Policy, *notices: str) -> bool:
    return any(getattr(type(policy), each) is not getattr(Policy, each) for each in notices)
