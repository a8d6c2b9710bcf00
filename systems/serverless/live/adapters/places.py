"""Loads adapters into the places of a node's instances, from the host tier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from systems.interface import Stage
from systems.runtime.stages import Timeline

from ...core import actions as act
from ...core import events as ev
from ..live_instance import LiveInstance
from ..messages import DropAdapter, HoldAdapter
from .tier import AdapterTier, unusable


class AdapterPlaces:
    """The places of ``instances``, by instance id. It calls ``post`` with each event."""

    def __init__(
        self,
        instances: Mapping[int, LiveInstance],
        tier: AdapterTier,
        post: Callable[[ev.Event], None],
    ) -> None:
        self._instances, self._tier, self._post = instances, tier, post

    def load(self, action: act.LoadAdapter) -> None:
        """Hand the adapter to the instance as soon as the host tier has it."""
        live = self._instances.get(action.instance)
        if live is not None:
            timeline = live.adapters[action.function] = Timeline.empty()
            timeline.begin(Stage.ADAPTER, time.monotonic_ns())
            wanted = partial(self._still_wanted, live, action.function, timeline)
            self._tier.get(
                action.function,
                partial(_hand_over, live, action.function, wanted),
                partial(self._failed, live, action.function, wanted),
            )

    def drop(self, action: act.DropAdapter) -> None:
        live = self._instances.get(action.instance)
        if live is not None and live.adapters.pop(action.function, None) is not None:
            live.send(DropAdapter(action.function))

    def held(self, live: LiveInstance, function: str) -> None:
        """Take the report of an instance that an adapter is in its place."""
        if function in live.adapters:
            live.adapters[function].end(Stage.ADAPTER, time.monotonic_ns())
            self._post(ev.AdapterLoaded(live.id, function))

    def refused(self, live: LiveInstance, function: str, reason: str) -> None:
        """Take the report of an instance that it cannot use an adapter."""
        self._lost(live, function, unusable(function, reason))

    def _still_wanted(self, live: LiveInstance, function: str, timeline: Timeline) -> bool:
        """Return whether the instance still waits for the adapter, and this is its last request."""
        there = self._instances.get(live.id) is live
        return there and live.adapters.get(function) is timeline

    def _failed(
        self, live: LiveInstance, function: str, wanted: Callable[[], bool], line: str
    ) -> None:
        if wanted():
            self._lost(live, function, line)

    def _lost(self, live: LiveInstance, function: str, line: str) -> None:
        if live.adapters.pop(function, None) is not None:
            self._post(ev.AdapterFailed(live.id, function, line))


def _hand_over(
    live: LiveInstance, function: str, wanted: Callable[[], bool], fd: int, nbytes: int
) -> None:
    if wanted():
        live.send(HoldAdapter(function, nbytes), [fd])
