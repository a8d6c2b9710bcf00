"""Where a backbone comes from, and how long its loading takes.

A shared copy on another device of the same host is copied over the link between the devices
(peer-to-peer), which takes a fraction of reading the checkpoint. So a host reads each backbone
once, and every further copy of it there is cheap.
"""

from __future__ import annotations

from collections import Counter

from .artifacts import BACKBONE, CopyKey
from .devices import BackboneCopy
from .estimates import Estimates
from .state import State


def source_of(key: CopyKey, state: State) -> BackboneCopy | None:
    """Return the copy that ``key`` is copied from, one on another device of its host; None: its
    checkpoint is read. Of several, the one where it would be done first, in units of one copy: a
    device divides its link among those that copy from it, and a copy that is being made must be
    complete first. So many devices that ask at once are served by a tree."""
    if not (state.cluster.settings.peer_copies and key.shared):
        return None
    there = [copy for copy in _others(key, state) if copy.load is not None]
    readers = Counter(copy.source for copy in there if not copy.loaded)

    def done(copy: BackboneCopy) -> tuple[int, int]:
        return _steps_left(copy, state) + 1 + readers[copy.key], readers[copy.key]

    return min(there, key=done, default=None)


def _steps_left(copy: BackboneCopy, state: State) -> int:
    """Return how many copies or reads must end, one after another, until ``copy`` is loaded."""
    source = None if copy.source is None else state.copies.get(copy.source)
    return 0 if copy.loaded else 1 + (_steps_left(source, state) if source else 0)


def lose_source(key: CopyKey, state: State) -> None:
    """Note that ``key`` is gone or was not loaded: what should be copied from it is read."""
    if state.cluster.settings.peer_copies:
        for copy in _others(key, state):
            copy.source = None if copy.source == key else copy.source


def _others(key: CopyKey, state: State) -> list[BackboneCopy]:
    """Return the shared copies of the same backbone on other devices of the host of ``key``."""
    host = state.devices[key.device].spec.host
    keys = (CopyKey(key.backbone, device.spec.id) for device in state.devices_of(host))
    found = (state.copies.get(each) for each in keys if each != key)
    return [copy for copy in found if copy is not None]


def load_ns(key: CopyKey, learnt: Estimates, state: State, now_ns: int) -> float:
    """Return the expected time until ``key`` is loaded: the rest of its loading, if that has begun,
    or a whole one."""
    copy = state.copies.get(key)
    if copy is None:
        return reload_ns(key, learnt, state, now_ns)
    return rest_ns(copy, learnt, state, now_ns)


def rest_ns(copy: BackboneCopy, learnt: Estimates, state: State, now_ns: int) -> float:
    """Return the expected time until ``copy`` is loaded."""
    if copy.loaded:
        return 0.0
    if copy.load is None:
        return reload_ns(copy.key, learnt, state, now_ns)
    source = None if copy.source is None else state.copies.get(copy.source)
    if source is None:
        return max(copy.asked_ns + learnt.delay_ns[BACKBONE] - now_ns, 0.0)
    if not source.loaded:
        return rest_ns(source, learnt, state, now_ns) + learnt.copy_ns
    return max(copy.copied_since_ns(source) + learnt.copy_ns - now_ns, 0.0)


def reload_ns(key: CopyKey, learnt: Estimates, state: State, now_ns: int) -> float:
    """Return how long a loading of ``key`` would take that begins now."""
    source = source_of(key, state)
    if source is None:
        return learnt.delay_ns[BACKBONE]
    return rest_ns(source, learnt, state, now_ns) + learnt.copy_ns
