"""Keeps idle instances and unused copies for a time, then offloads or drops them."""

from __future__ import annotations

from . import actions as act
from .artifacts import GONE, CopyKey
from .backbone_copies import BackboneCopies
from .instance import ASLEEP, READY, STARTING, Instance
from .policies import Policies
from .provisioning import Provisioning
from .releasing import Releasing
from .state import State


class KeepAliveManager:
    """Applies the keep-alive of instances and shared copies; appends its timers to ``out``."""

    def __init__(
        self,
        state: State,
        policies: Policies,
        provisioning: Provisioning,
        releasing: Releasing,
        copies: BackboneCopies,
        out: list[act.Action],
    ) -> None:
        self._state = state
        self._policies = policies
        self._provisioning, self._releasing, self._copies = provisioning, releasing, copies
        self._out = out

    def rest(self, instance: Instance, now: int) -> bool:
        """Set the keep-alive timer of ``instance`` if it is idle or asleep. Return True if requests
        wait for memory of its device, for which it may be evicted."""
        if not (instance.idle or instance.phase is ASLEEP):
            return False
        if not instance.timer_set:
            self._set_timer(instance, instance.idle_since_ns if instance.idle else now, now)
        self._state.rest(instance, now)
        device = self._state.devices[instance.device]
        return bool(device.blocked or device.starved)

    def _keep_ns(self, instance: Instance) -> int:
        settings = self._state.cluster.settings
        return self._policies.keep_alive.instance_ns(instance.group, settings)

    def _set_timer(self, instance: Instance, since_ns: int, now: int) -> None:
        instance.timer_set = True
        self._state.members(instance.group.id).untimed.pop(instance.id, None)
        self._out.append(act.SetTimer(instance.id, max(since_ns + self._keep_ns(instance), now)))

    def instance_timer(self, instance: Instance, now: int) -> None:
        """Weigh ``instance`` if its keep-alive has passed and it may be evicted; otherwise set the
        timer again. A sleeping instance that is the next to be woken keeps its artifacts."""
        instance.timer_set = False
        if instance.phase is READY:
            self._state.members(instance.group.id).untimed[instance.id] = instance
        at_rest, asleep = self._state.at_rest(instance), instance.phase is ASLEEP
        kept_ns = now - instance.idle_since_ns
        if at_rest and (asleep or kept_ns >= self._keep_ns(instance)):
            self._weigh(instance, now)
        elif at_rest or asleep:
            self._set_timer(instance, now if asleep else instance.idle_since_ns, now)

    def _weigh(self, instance: Instance, now: int) -> None:
        """Load on an idle or sleeping instance what the pre-loading policy wants, or offload what
        it does not want."""
        wanted = self._policies.preloading.residency(instance, self._state, now)
        wanted &= frozenset(instance.group.artifacts)
        if wanted == GONE or not instance.in_place <= wanted:
            self._releasing.offload(instance, wanted & instance.in_place)
            return
        if wanted > instance.in_place:
            self._provisioning.preload(instance, wanted, now)
        if instance.phase is not STARTING:
            self._state.rest(instance, now)
            self._set_timer(instance, now, now)

    def unused(self, key: CopyKey, now: int) -> None:
        """Start the keep-alive of a copy that no instance maps. Drop it if it was private or is not
        loaded."""
        copy = self._state.copies.get(key)
        if copy is None or copy.users:
            return
        if not key.shared or not copy.loaded:
            self._copies.drop(copy)
            return
        copy.unused_since_ns = now
        keep = self._policies.keep_alive.copy_ns(self._state.cluster.settings)
        self._out.append(act.SetTimer(key, now + keep))

    def copy_timer(self, key: CopyKey, now: int) -> bool:
        """Drop the copy if its keep-alive has passed. Return whether it was dropped."""
        copy = self._state.copies.get(key)
        keep = self._policies.keep_alive.copy_ns(self._state.cluster.settings)
        if copy is None or copy.users or now - copy.unused_since_ns < keep:
            return False
        self._copies.drop(copy)
        return True
