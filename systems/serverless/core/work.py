"""Which instances are at work on a device."""

from __future__ import annotations

from .instance import Instance
from .state import State


def settle(state: State, instance: Instance, now: int) -> None:
    """Count ``instance`` among those at work on its device no longer, if it is not."""
    if not instance.busy:
        state.devices[instance.device].contention.ended(instance.id, now)


def end_prefill(state: State, instance: Instance) -> None:
    """Record that ``instance``, which prefilled a batch, computes no prompts."""
    instance.prefilling = None
    state.devices[instance.device].prefilling -= 1
