"""When it pays that waiting requests join what runs on a device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, takewhile

from ..devices import Device
from ..estimates import Estimates
from ..instance import Instance
from ..state import State
from ..waiting import Request


def fitting(requests: Sequence[Request], instance: Instance, device: Device) -> int:
    """Return how many of ``requests`` there is memory for without eviction, but at least 1."""
    if len(requests) == 1:
        return 1
    held = device.memory.held(instance.holdings.kv)
    free = device.memory.free + held - instance.running_kv_bytes
    sizes = accumulate(request.kv_bytes for request in requests)
    return max(sum(1 for _ in takewhile(lambda size: size <= free, sizes)), 1)


def ready_ns(request: Request, instance: Instance) -> int:
    """Return the time from which ``request`` could have been in a batch of ``instance``."""
    return max(request.arrived_ns, instance.prefilled_ns)


def pays_ns(
    batch: Sequence[Request], instance: Instance, state: State, now_ns: int, *, grows: bool
) -> float:
    """Return from when it pays to prefill ``batch`` now instead of with further requests, which
    would share the fixed part of T(b). ``grows``: a further request could be added when it arrives.

    Each batch delays the running requests by C in sum. One of n, added at rate λ, costs C/n and a
    wait of (n − 1)/2λ for each of them, so n + 1 are better while n·(n + 1) < 2λC. But λ changes.
    So a batch pays in any case once it has waited for C in sum: to wait for as long as the
    alternative costs takes at most twice the least possible delay (Dooly, Goldman & Scott 2001)."""
    learnt = state.estimates(instance.group.id)
    delays_ns = _delays_ns(instance, learnt, state)
    size = len(batch)
    if grows and not delays_ns:
        return now_ns
    if grows and size * (size + 1) >= 2 * delays_ns * _rate_per_ns(instance, learnt, state, now_ns):
        return now_ns
    return (sum(ready_ns(request, instance) for request in batch) + delays_ns) / size


def _delays_ns(instance: Instance, learnt: Estimates, state: State) -> float:
    """Return C, the sum of the delays of all running requests by the fixed part of T(b): those of
    ``instance`` wait for it; those of others lose the share of the device that it gets."""
    device = state.devices[instance.device]
    slowdown = device.contention.with_work_of(instance.id)
    delayed = len(instance.running) * slowdown
    if slowdown > 1:
        at_work = (device.instances[each] for each in device.contention.at_work)
        others = sum(len(each.running) for each in at_work if each is not instance)
        delayed += others / device.spec.slots
    return learnt.law.fixed_ns * delayed if delayed else 0.0


def _rate_per_ns(instance: Instance, learnt: Estimates, state: State, now_ns: int) -> float:
    """Return λ, the requests of its group for each instance that serves it."""
    return learnt.rate.per_second(now_ns) / len(state.serving(instance.group.id)) / 1e9
