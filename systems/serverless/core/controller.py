"""The one decision core: events in, actions out, live and simulated alike.

Everything about time is the ``now_ns`` that comes with an event; everything about the world
comes as an event. The same events at the same times give the same actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import actions as act
from . import events as ev
from .artifacts import Artifact, CopyKey
from .memory import Holding
from .policies import Policies
from .provisioning import Provisioning
from .state import Instance, MemoryWatcher, Phase, Request, State, TemplatePhase
from .world import World


def _unwatched(device: str, holding: Holding, size: int) -> None:
    """Nobody keeps account of memory."""


class Controller:
    """The state machine of a platform under one choice of policies."""

    def __init__(
        self, world: World, policies: Policies, watch_memory: MemoryWatcher = _unwatched
    ) -> None:
        self.state = State(world, watch_memory)
        self.policies = policies
        self._out: list[act.Action] = []
        self._provisioning = Provisioning(self.state, policies, self._out)
        self._batches = 0
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            ev.RequestArrived: self._arrived,
            ev.RequestCancelled: self._cancelled,
            ev.TemplateReady: self._template_ready,
            ev.TemplateDied: self._template_died,
            ev.InstanceStarted: self._started,
            ev.ArtifactLoaded: self._loaded,
            ev.BackboneLoaded: self._backbone_loaded,
            ev.BackboneFailed: self._backbone_failed,
            ev.BatchPrefilled: self._prefilled,
            ev.RequestFinished: self._finished,
            ev.InstanceStopped: self._stopped,
            ev.ProcessDied: self._died,
            ev.TimerFired: self._timer,
        }

    def handle(self, event: ev.Event, now_ns: int) -> list[act.Action]:
        """What to do about ``event``. Events about what is no longer there are ignored: a
        process may report while word of its end is under way."""
        self._handlers[type(event)](event, now_ns)
        out = self._out[:]
        self._out.clear()
        return out

    # -- requests ---------------------------------------------------------------------------

    def _arrived(self, event: ev.RequestArrived, now: int) -> None:
        function = self.state.world.functions[event.function]
        kv_bytes = (event.prompt_tokens + event.max_tokens) * function.kv_bytes_per_token
        request = Request(event.request, event.function, kv_bytes, now)
        self.state.requests[request.id] = request
        self.state.queue(request.function)[request.id] = request
        self._serve(request.function)

    def _cancelled(self, event: ev.RequestCancelled, now: int) -> None:
        request = self.state.requests.get(event.request)
        if request is None:
            return
        if request.instance is not None:
            self._out.append(act.CancelRequest(request.instance, request.id))
            return
        del self.state.requests[request.id]
        queue = self.state.queue(request.function)
        del queue[request.id]
        instance = self.state.live(request.function)
        if instance and not queue:
            device = self.state.devices[instance.device]
            device.waiting.pop(instance.id, None)
            device.starved.pop(instance.id, None)
            self._maybe_idle(instance, now)

    def _finished(self, event: ev.RequestFinished, now: int) -> None:
        request = self.state.requests.pop(event.request, None)
        if request is None or request.instance is None:
            return
        instance = self.state.instances[request.instance]
        del instance.running[request.id]
        self._provisioning.size_kv(instance)
        self._maybe_idle(instance, now)
        self._after_release(instance.device)

    def _serve(self, function: str) -> None:
        """Requests of ``function`` wait: give them to its instance, or start one."""
        instance = self.state.live(function)
        if instance is None:
            self._provisioning.start(function)
        elif instance.phase is Phase.READY:
            device = self.state.devices[instance.device]
            if instance.id not in device.starved:
                device.waiting.setdefault(instance.id, instance)
            self._dispatch(instance.device)

    def _dispatch(self, device_id: str) -> None:
        """Run batches on a device until its batching policy has no more to run now."""
        device = self.state.devices[device_id]
        while batch := self.policies.batching.choose(device, self.state):
            instance = batch.instance
            taken = self._provisioning.admit(instance, batch.requests)
            if taken:
                self._run(instance, taken)
            else:
                device.starved[instance.id] = device.waiting.pop(instance.id)

    def _run(self, instance: Instance, batch: list[Request]) -> None:
        self._batches += 1
        instance.prefilling = self._batches
        queue = self.state.queue(instance.function.id)
        for request in batch:
            del queue[request.id]
            request.instance = instance.id
            instance.running[request.id] = request
        if not queue:
            self.state.devices[instance.device].waiting.pop(instance.id, None)
        ids = tuple(request.id for request in batch)
        self._out.append(act.RunBatch(instance.id, self._batches, ids))

    def _prefilled(self, event: ev.BatchPrefilled, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance and instance.prefilling == event.batch:
            instance.prefilling = None
            self._maybe_idle(instance, now)
            self._dispatch(instance.device)

    # -- instances --------------------------------------------------------------------------

    def _template_ready(self, event: ev.TemplateReady, now: int) -> None:  # noqa: ARG002
        self.state.template = TemplatePhase.READY
        for instance in list(self.state.instances.values()):
            self._provisioning.advance(instance)

    def _template_died(self, event: ev.TemplateDied, now: int) -> None:
        home = self._provisioning.lose_template()
        for instance in list(self.state.instances.values()):
            if instance.forked and not instance.asked:
                self._lost(instance, event.reason, now)
        if home is not None:
            self._after_release(home)

    def _started(self, event: ev.InstanceStarted, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is None or instance.phase is not Phase.STARTING:
            return
        instance.started = True
        if instance.forked:
            instance.in_place.add(Artifact.LIBRARIES)
        self._advance(instance, now)

    def _loaded(self, event: ev.ArtifactLoaded, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is None or instance.phase is not Phase.STARTING:
            return
        instance.in_place.add(event.artifact)
        instance.loading = None
        if event.artifact is Artifact.BACKBONE:
            self.state.copies[instance.copy].loaded = True
        self._advance(instance, now)

    def _advance(self, instance: Instance, now: int) -> None:
        if not self._provisioning.advance(instance):
            return
        instance.phase = Phase.READY
        self._provisioning.forgive(instance.function.id)
        if self.state.queue(instance.function.id):
            self._serve(instance.function.id)
        else:
            self._maybe_idle(instance, now)

    def _backbone_loaded(self, event: ev.BackboneLoaded, now: int) -> None:
        copy = self.state.copies.get(event.copy)
        if copy is None:
            return
        copy.loaded = True
        for user in list(copy.users):
            self._provisioning.advance(self.state.instances[user])
        if not copy.users:
            self._unused(copy.key, now)

    def _backbone_failed(self, event: ev.BackboneFailed, now: int) -> None:
        copy = self.state.copies.get(event.copy)
        if copy is None:
            return
        copy.asked = copy.loaded = False
        for user in list(copy.users):
            instance = self.state.instances[user]
            if instance.phase is Phase.STOPPING:
                continue
            if instance.asked:
                self._provisioning.stop(instance)
                self._blame(instance, event.reason)
            else:
                self._lost(instance, event.reason, now)
        if not copy.users and event.copy in self.state.copies:
            self._drop(event.copy)

    def _stopped(self, event: ev.InstanceStopped, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is not None:
            self._remove(instance, now)

    def _died(self, event: ev.ProcessDied, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is not None:
            self._lost(instance, event.reason, now)

    def _lost(self, instance: Instance, reason: str, now: int) -> None:
        """``instance`` is gone unasked: its running requests fail, the waiting ones go on."""
        for request in instance.running.values():
            del self.state.requests[request.id]
            self._out.append(act.FailRequest(request.id, 502, f"instance lost: {reason}"))
        instance.running.clear()
        if instance.phase is Phase.STARTING:
            self._blame(instance, reason)
        self._remove(instance, now)

    def _blame(self, instance: Instance, reason: str) -> None:
        """A start failed: after too many, the requests that wait for one fail too."""
        function = instance.function.id
        if self._provisioning.may_retry(function):
            return
        self._provisioning.forgive(function)
        queue = self.state.queue(function)
        for request in queue.values():
            del self.state.requests[request.id]
            self._out.append(act.FailRequest(request.id, 503, f"cannot start: {reason}"))
        queue.clear()

    def _remove(self, instance: Instance, now: int) -> None:
        self._provisioning.release(instance)
        self.state.remove_instance(instance)
        copy = self.state.copies.get(instance.copy)
        if copy and not copy.users:
            self._unused(copy.key, now)
        if self.state.queue(instance.function.id):
            self._serve(instance.function.id)
        self._after_release(instance.device)

    def _after_release(self, device_id: str) -> None:
        """Bytes came free on a device, or can be freed: whoever waited for them may go on."""
        self._provisioning.retry(device_id)
        device = self.state.devices[device_id]
        device.waiting.update(device.starved)
        device.starved.clear()
        self._dispatch(device_id)

    # -- time -------------------------------------------------------------------------------

    def _maybe_idle(self, instance: Instance, now: int) -> None:
        if not instance.idle:
            return
        instance.idle_since_ns = now
        if not instance.timer_set:
            instance.timer_set = True
            self._keep_alive_timer(instance)
        device = self.state.devices[instance.device]
        if device.blocked or device.starved:
            self._after_release(instance.device)

    def _keep_alive_timer(self, instance: Instance) -> None:
        keep = self.policies.keep_alive.instance_ns(instance.function, self.state.world.settings)
        at_ns = instance.idle_since_ns + keep
        self._out.append(act.SetTimer(instance.id, at_ns))

    def _unused(self, key: CopyKey, now: int) -> None:
        copy = self.state.copies[key]
        if not key.shared or not copy.loaded:
            self._drop(key)
            return
        copy.unused_since_ns = now
        keep = self.policies.keep_alive.copy_ns(self.state.world.settings)
        self._out.append(act.SetTimer(key, now + keep))

    def _drop(self, key: CopyKey) -> None:
        self._provisioning.drop(self.state.copies[key])

    def _timer(self, event: ev.TimerFired, now: int) -> None:
        if isinstance(event.timer, CopyKey):
            self._copy_timer(event.timer, now)
        else:
            self._instance_timer(self.state.instances.get(event.timer), now)

    def _instance_timer(self, instance: Instance | None, now: int) -> None:
        if instance is None:
            return
        instance.timer_set = False
        if not instance.idle or self.state.queue(instance.function.id):
            return
        keep = self.policies.keep_alive.instance_ns(instance.function, self.state.world.settings)
        if now - instance.idle_since_ns >= keep:
            self._provisioning.stop(instance)
        else:
            instance.timer_set = True
            self._keep_alive_timer(instance)

    def _copy_timer(self, key: CopyKey, now: int) -> None:
        copy = self.state.copies.get(key)
        keep = self.policies.keep_alive.copy_ns(self.state.world.settings)
        if copy and not copy.users and now - copy.unused_since_ns >= keep:
            self._drop(key)
            self._after_release(key.device)
