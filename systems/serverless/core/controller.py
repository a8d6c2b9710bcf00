"""The decision core of live and simulated platforms: receives events, returns actions.

It reads no clock and does no I/O: time is the ``now_ns`` of each event, and all other facts arrive
as events. The same events at the same times give the same actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from systems.request_limits import Limiter

from . import actions as act
from . import events as ev
from .artifacts import CopyKey, Places, Release
from .cluster_spec import ClusterSpec
from .copy_events import CopyEvents
from .host_events import HostEvents
from .instance_events import InstanceEvents
from .memory import Holding
from .parts import Parts
from .policies import PolicySet
from .policy import Notices
from .request_events import RequestEvents
from .state import Explain, MemoryWatcher, State


def _unwatched(device: str, holding: Holding, change: int) -> None:
    """Ignore changes of memory."""


class Controller:
    """The state machine of a platform. Creates its own policies from ``policy_set``."""

    def __init__(
        self,
        cluster: ClusterSpec,
        policy_set: PolicySet,
        watch_memory: MemoryWatcher = _unwatched,
        explain: Explain | None = None,
    ) -> None:
        self.policies = policies = policy_set.make()
        self.state = State(cluster, watch_memory, policy_set.new_rate, Notices(policies), explain)
        self.limiter = Limiter("function", cluster.settings.function_limits)
        self._parts = parts = Parts.make(self.state, policies, self.limiter)
        self._requests, self._hosts = RequestEvents(parts), HostEvents(parts)
        self._instances, self._copies = InstanceEvents(parts), CopyEvents(parts)
        self._handlers = self._handler_of_each()

    def _handler_of_each(self) -> dict[type, Callable[[Any, int], None]]:
        return {
            ev.Deployed: self._hosts.deployed,
            ev.RequestArrived: self._requests.arrived,
            ev.RequestCancelled: self._requests.cancelled,
            ev.HostJoined: self._hosts.joined,
            ev.HostLeft: self._hosts.left,
            ev.TemplateReady: self._hosts.template_ready,
            ev.TemplateDied: self._hosts.template_died,
            ev.InstanceStarted: self._instances.started,
            ev.ArtifactLoaded: self._instances.loaded,
            ev.ArtifactsOffloaded: self._instances.offloaded,
            ev.AdapterLoaded: self._instances.adapter_loaded,
            ev.AdapterFailed: self._instances.adapter_failed,
            ev.AdapterTierResized: self._hosts.tier_resized,
            ev.BackboneLoaded: self._copies.loaded,
            ev.BackboneFailed: self._copies.failed,
            ev.PrewarmedReady: self._copies.prewarmed_ready,
            ev.BatchBegun: self._requests.begun,
            ev.BatchPrefilled: self._requests.prefilled,
            ev.RequestFinished: self._requests.finished,
            ev.InstanceStopped: self._instances.stopped,
            ev.ProcessDied: self._instances.died,
            ev.TimerFired: self._timer,
        }

    def handle(self, event: ev.Event, now_ns: int) -> list[act.Action]:
        """Return the actions that ``event`` requires. Ignore events about what no longer exists: a
        process may send one while its end is being reported."""
        self._handlers[type(event)](event, now_ns)
        actions = self._parts.out[:]
        self._parts.out.clear()
        return actions

    def _timer(self, event: ev.TimerFired, now: int) -> None:
        timer = event.timer
        if isinstance(timer, Release):
            self._requests.not_released(timer, now)
        elif isinstance(timer, Places):
            self._look_at_places(timer.instance, now)
        elif isinstance(timer, CopyKey):
            if self._parts.keeping.copy_timer(timer, now):
                self._parts.dispatching.after_release(timer.device, now)
        elif isinstance(timer, str):
            device = self.state.devices.get(timer)
            if device is not None:
                device.hold_until_ns = None
                self._parts.dispatching.dispatch(device, now)
        elif timer in self.state.instances:
            self._parts.keeping.instance_timer(self.state.instances[timer], now)

    def _look_at_places(self, instance_id: int, now: int) -> None:
        instance = self.state.instances.get(instance_id)
        if instance is not None:
            instance.places_timer = False
            self._parts.dispatching.request_adapters(instance.group, now)
