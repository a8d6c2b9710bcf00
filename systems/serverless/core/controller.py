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
from .adapter_preparation import AdapterPreparation
from .adapters import AdapterManager
from .artifacts import Artifact, CopyKey, Places, Release
from .backbone_sources import lose_source
from .cluster_spec import ClusterSpec
from .dispatching import Dispatching
from .estimates import Estimates
from .instance import Instance, Phase
from .keep_alive_manager import KeepAliveManager
from .memory import Holding
from .policies import PolicySet
from .policy import Notices
from .provisioning import Provisioning
from .state import BackboneCopy, Explain, MemoryWatcher, State, TemplatePhase
from .waiting import Request


def _unwatched(device: str, holding: Holding, size: int) -> None:
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
        self._out: list[act.Action] = []
        self._preparation = AdapterPreparation(self.state, self._out)
        self._provisioning = Provisioning(self.state, policies, self._preparation, self._out)
        self._keeping = KeepAliveManager(self.state, policies, self._provisioning, self._out)
        self._adapters = AdapterManager(self.state, policies, self._out)
        self._dispatching = Dispatching(
            self.state,
            policies,
            self._provisioning,
            self._keeping,
            self._adapters,
            self._preparation,
            self._out,
        )
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            ev.Deployed: self._deployed,
            ev.RequestArrived: self._arrived,
            ev.RequestCancelled: self._cancelled,
            ev.HostJoined: self._joined,
            ev.HostLeft: self._left,
            ev.TemplateReady: self._template_ready,
            ev.TemplateDied: self._template_died,
            ev.InstanceStarted: self._started,
            ev.ArtifactLoaded: self._loaded,
            ev.ArtifactsOffloaded: self._offloaded,
            ev.AdapterLoaded: self._adapter_loaded,
            ev.AdapterFailed: self._adapter_failed,
            ev.AdapterTierResized: self._tier_resized,
            ev.BackboneLoaded: self._backbone_loaded,
            ev.BackboneFailed: self._backbone_failed,
            ev.BatchPrefilled: self._prefilled,
            ev.RequestFinished: self._finished,
            ev.InstanceStopped: self._stopped,
            ev.ProcessDied: self._died,
            ev.TimerFired: self._timer,
        }

    def handle(self, event: ev.Event, now_ns: int) -> list[act.Action]:
        """Return the actions that ``event`` requires. Ignore events about what no longer exists: a
        process may send one while its end is being reported."""
        self._handlers[type(event)](event, now_ns)
        out = self._out[:]
        self._out.clear()
        return out

    # -- requests ---------------------------------------------------------------------------

    def _arrived(self, event: ev.RequestArrived, now: int) -> None:
        function = self.state.cluster.functions[event.function]
        group = self.state.cluster.groups[function.group]
        waiting = self.state.queue(group.id).of(function.id)
        excess = self.limiter.excess(function.id, now, waiting)
        if excess is not None:
            self._reject(event.request, excess.reason, excess.retry_after_ns)
            return
        self.state.estimates(group.id).arrived(event.max_tokens, now)
        if group.places:
            self.state.rate_of(function.id).observe(now)
        retry_after_ns = self.policies.admission.retry_after_ns(function.id, self.state, now)
        if retry_after_ns is not None:
            self._reject(event.request, "no deadline can be met", retry_after_ns)
            return
        self.limiter.begin(function.id, now)
        kv_bytes = group.kv_bytes(event.prompt_tokens + event.max_tokens)
        request = Request(event.request, function.id, group.id, kv_bytes, now, function.slo_ttft_ns)
        self.state.requests[request.id] = request
        self.state.enqueue(request)
        self._dispatching.serve(group.id, now, request)

    def _reject(self, request: int, reason: str, retry_after_ns: int) -> None:
        self._out.append(act.FailRequest(request, 429, reason, retry_after_ns))

    def _drop(self, request: Request) -> None:
        """Forget a request, which has ended."""
        del self.state.requests[request.id]
        self.limiter.end(request.function)

    def _cancelled(self, event: ev.RequestCancelled, now: int) -> None:
        request = self.state.requests.get(event.request)
        if request is None:
            return
        if request.instance is not None:
            self._forget(request, request.instance, now)
            return
        self._drop(request)
        self.state.dequeue(request)
        if self.state.queue(request.group):
            self._dispatching.request_adapters(self.state.cluster.groups[request.group], now)
        else:
            self._dispatching.nobody_waits(request.group, now)

    def _forget(self, request: Request, instance: int, now: int) -> None:
        """Make ``instance`` release a request, within the release grace."""
        if request.cancelled or request.batch is None:
            return
        request.cancelled = True
        self._out.append(act.CancelRequest(instance, request.id))
        timer = Release(instance, request.id, request.batch)
        until_ns = now + self.state.cluster.settings.release_grace_ns
        self._out.append(act.SetTimer(timer, until_ns))

    def _finished(self, event: ev.RequestFinished, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        request = instance.running.get(event.request) if instance is not None else None
        if instance is None or request is None or not self._may_finish(request, instance):
            return
        if not request.cancelled:
            self._learn_service(request, instance, now)
        self._drop(request)
        self.state.end(instance, request, now)
        self._settle(instance, now)
        self._provisioning.size_kv(instance)
        instance.idle_since_ns = now
        self._dispatching.rest(instance, now)
        if self.state.queue(instance.group.id):
            self.state.waits(instance)
            self._dispatching.request_adapters(instance.group, now)
            self._dispatching.scale(instance.group.id, now)
        self._dispatching.after_release(instance.device, now)

    def _learn_service(self, request: Request, instance: Instance, now: int) -> None:
        device = self.state.devices[instance.device]
        alone_ns = (now - request.begun_ns) / device.slowdown(device.at_work)
        self.state.estimates(instance.group.id).service.observe(alone_ns)

    @staticmethod
    def _may_finish(request: Request, instance: Instance) -> bool:
        """Refuse to end an uncancelled request in its prefill: the prefill would never end."""
        return request.cancelled or not instance.prefills(request.batch)

    def _prefilled(self, event: ev.BatchPrefilled, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is None or not instance.prefills(event.batch):
            return
        self._learn(instance, event.computed_ns, now)
        instance.prefilled_ns = now
        self._not_prefilling(instance)
        self._settle(instance, now)
        self._dispatching.rest(instance, now)
        self._dispatching.may_run(instance)
        self._dispatching.dispatch(self.state.devices[instance.device], now)

    def _learn(self, instance: Instance, computed_ns: int, now: int) -> None:
        prefill, contention = instance.prefilling, self.state.devices[instance.device].contention
        assert prefill is not None
        alone_ns = contention.read_ns(now) - prefill.began_alone_ns
        learnt = self.state.estimates(instance.group.id)
        learnt.prefills.observe(prefill, now - prefill.began_ns, alone_ns, computed_ns)

    def _settle(self, instance: Instance, now: int) -> None:
        """Count ``instance`` among those at work on its device no longer, if it is not."""
        if not instance.busy:
            self.state.devices[instance.device].contention.ended(instance.id, now)

    def _not_prefilling(self, instance: Instance) -> None:
        if instance.prefilling is not None:
            instance.prefilling = None
            self.state.devices[instance.device].prefilling -= 1

    # -- hosts ------------------------------------------------------------------------------

    def _deployed(self, event: ev.Deployed, now: int) -> None:  # noqa: ARG002
        for host in self.state.hosts:
            self._before_requests(host, now)

    def _before_requests(self, host: str, now: int) -> None:
        """Start on ``host`` what settings ask for before the first request, if policies pre-load
        what no instance asks for."""
        if self.policies.preloading.forks:
            self._provisioning.template_early(host)
            self._provisioning.backbones_early(host, now)
            self._preparation.at_deployment(host)

    def _instances_on(self, host: str) -> list[Instance]:
        """Return the instances on ``host`` in the order in which they were started."""
        found = [i for device in self.state.devices_of(host) for i in device.instances.values()]
        return sorted(found, key=lambda instance: instance.id)

    def _joined(self, event: ev.HostJoined, now: int) -> None:
        """Add the devices. Requests that wait for memory or for a device may now run on them."""
        self.state.add_devices(event.devices)
        for host in {device.host: None for device in event.devices}:
            self._before_requests(host, now)
        for group in list(self.state.blocked_on):
            self.state.unblock(group)
        for group in [name for name, queue in self.state.queues.items() if queue]:
            self._dispatching.serve(group, now)

    def _left(self, event: ev.HostLeft, now: int) -> None:
        """Fail the requests that ran on the host, and start elsewhere the groups with waiting
        requests. This does not count as a failed start."""
        if event.host not in self.state.hosts:
            return
        devices, lost = self.state.devices_of(event.host), self._instances_on(event.host)
        waiting = {instance.group.id for instance in lost}
        waiting.update(group for device in devices for group in device.blocked)
        for instance in lost:
            self._fail_running(instance, event.reason, now)
            self._provisioning.release(instance)
            self.state.remove_instance(instance)
        self._provisioning.lose_host(event.host)
        for group in sorted(waiting):
            if self.state.queue(group):
                self._dispatching.serve(group, now)

    # -- instances --------------------------------------------------------------------------

    def _template_ready(self, event: ev.TemplateReady, now: int) -> None:
        host = self.state.hosts.get(event.host)
        if host is None:
            return
        host.template = TemplatePhase.READY
        for instance in self._instances_on(event.host):
            self._provisioning.advance(instance, now)

    def _template_died(self, event: ev.TemplateDied, now: int) -> None:
        host = self.state.hosts.get(event.host)
        if host is None:
            return
        home = self._provisioning.lose_template(host)
        for instance in self._instances_on(event.host):
            if instance.forked and not instance.asked:
                self._lost(instance, event.reason, now)
        if home is not None:
            self._dispatching.after_release(home, now)

    def _started(self, event: ev.InstanceStarted, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is None or not instance.asked or instance.started:
            return
        instance.started = True
        instance.in_place |= instance.inherited
        self._advance(instance, now)

    def _loaded(self, event: ev.ArtifactLoaded, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is None or instance.phase is not Phase.STARTING:
            return
        if instance.loading is not event.artifact:
            return
        instance.in_place.add(event.artifact)
        instance.loading = None
        if not (event.artifact is Artifact.BACKBONE and instance.copy.shared):
            took_ns = now - instance.loading_since_ns
            self.state.estimates(instance.group.id).loaded(event.artifact, took_ns)
        if event.artifact is Artifact.BACKBONE and not instance.copy.shared:
            self.state.copies[instance.copy].loaded = True
        self._advance(instance, now)

    def _advance(self, instance: Instance, now: int) -> None:
        if not self._provisioning.advance(instance, now):
            return
        awake = instance.to_serve
        self.state.enter(instance, Phase.READY if awake else Phase.ASLEEP)
        instance.prefilled_ns = 0
        self._provisioning.forgive(instance.group.id)
        if not instance.idle_since_ns:
            instance.idle_since_ns = now
        if awake and not instance.timer_set:
            self.state.members(instance.group.id).untimed[instance.id] = instance
        if awake and self.state.queue(instance.group.id):
            self._dispatching.serve(instance.group.id, now)
            self._dispatching.without_adapter(instance, now)
        self._dispatching.rest(instance, now)
        if awake and instance.group.places:
            self._adapters.fill(instance, now)

    def _adapter_loaded(self, event: ev.AdapterLoaded, now: int) -> None:
        instance = self._adapters.loaded(event, now)
        if instance is not None:
            self._dispatching.may_run(instance)
            self._dispatching.dispatch(self.state.devices[instance.device], now)
            self._dispatching.request_adapters(instance.group, now)
            self._adapters.preload(instance, now)

    def _adapter_failed(self, event: ev.AdapterFailed, now: int) -> None:
        """Fail the requests that wait for the adapter; those of other functions go on."""
        instance = self._adapters.failed(event)
        if instance is None:
            return
        self._fail_waiting(instance.group.id, event.function, event.reason)
        if self.state.queue(instance.group.id):
            self._dispatching.request_adapters(instance.group, now)
        else:
            self._dispatching.nobody_waits(instance.group.id, now)
        self._adapters.preload(instance, now)

    def _tier_resized(self, event: ev.AdapterTierResized, now: int) -> None:  # noqa: ARG002
        self._provisioning.hold_tier(event.host, event.nbytes)

    def _fail_waiting(self, group: str, function: str, reason: str) -> None:
        queue = self.state.queue(group)
        for request in list(queue.of_function.get(function, {}).values()):
            self.state.dequeue(request)
            self._drop(request)
            self._out.append(act.FailRequest(request.id, 503, f"cannot start: {reason}"))

    def _offloaded(self, event: ev.ArtifactsOffloaded, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is None or instance.phase is not Phase.OFFLOADING:
            return
        self._provisioning.offloaded(instance)
        self._keeping.unused(instance.copy, now)
        self._keeping.rest(instance, now)
        self._freed(instance, now)

    def _loading(self, event: ev.BackboneLoaded | ev.BackboneFailed) -> BackboneCopy | None:
        """Return the copy of ``event``, if its loading is the one requested last."""
        copy = self.state.copies.get(event.copy)
        return copy if copy is not None and copy.load == event.load else None

    def _backbone_loaded(self, event: ev.BackboneLoaded, now: int) -> None:
        copy = self._loading(event)
        if copy is None or copy.loaded:
            return
        copy.loaded, copy.loaded_ns = True, now
        for user in list(copy.users):
            instance = self.state.instances[user]
            self._learn_loading(copy, self.state.estimates(instance.group.id), now)
            self._provisioning.advance(instance, now)
        self._keeping.unused(copy.key, now)

    def _learn_loading(self, copy: BackboneCopy, learnt: Estimates, now: int) -> None:
        if copy.source is None:
            learnt.loaded(Artifact.BACKBONE, now - copy.asked_ns)
        else:
            source = self.state.copies.get(copy.source)
            learnt.copied(now - copy.copied_since_ns(source))

    def _backbone_failed(self, event: ev.BackboneFailed, now: int) -> None:
        copy = self._loading(event)
        if copy is None:
            return
        copy.load, copy.loaded = None, False
        lose_source(copy.key, self.state)
        for user in list(copy.users):
            instance = self.state.instances[user]
            if instance.phase is Phase.STOPPING:
                continue
            if instance.asked:
                self._provisioning.stop(instance)
                self._blame(instance, event.reason, now)
            else:
                self._lost(instance, event.reason, now)
        self._keeping.unused(event.copy, now)

    def _stopped(self, event: ev.InstanceStopped, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is not None:
            self._fail_running(instance, "it was stopped", now)
            self._remove(instance, now)

    def _died(self, event: ev.ProcessDied, now: int) -> None:
        instance = self.state.instances.get(event.instance)
        if instance is not None:
            self._lost(instance, event.reason, now)

    def _lost(self, instance: Instance, reason: str, now: int) -> None:
        """Remove an instance that ended on its own; fail its running requests only."""
        self._fail_running(instance, reason, now)
        if instance.phase is Phase.STARTING:
            self._blame(instance, reason, now)
        self._remove(instance, now)

    def _fail_running(self, instance: Instance, reason: str, now: int) -> None:
        for request in list(instance.running.values()):
            self._drop(request)
            self.state.end(instance, request, now)
            self._out.append(act.FailRequest(request.id, 502, f"instance lost: {reason}"))
        self._not_prefilling(instance)
        self._settle(instance, now)

    def _blame(self, instance: Instance, reason: str, now: int) -> None:
        """Count a failed start. After too many, fail the requests that wait for an instance."""
        group = instance.group.id
        if self._provisioning.may_retry(group):
            return
        self._provisioning.forgive(group)
        for request in list(self.state.queue(group)):
            self.state.dequeue(request)
            self._drop(request)
            self._out.append(act.FailRequest(request.id, 503, f"cannot start: {reason}"))
        self._dispatching.nobody_waits(group, now)

    def _remove(self, instance: Instance, now: int) -> None:
        self._provisioning.release(instance)
        self.state.remove_instance(instance)
        self._keeping.unused(instance.copy, now)
        self._freed(instance, now)

    def _freed(self, instance: Instance, now: int) -> None:
        """Use the bytes that ``instance`` freed; its own group may be waiting for them."""
        if self.state.queue(instance.group.id):
            self._dispatching.serve(instance.group.id, now)
        self._dispatching.after_release(instance.device, now)

    # -- time -------------------------------------------------------------------------------

    def _timer(self, event: ev.TimerFired, now: int) -> None:
        timer = event.timer
        if isinstance(timer, Release):
            self._not_released(timer, now)
        elif isinstance(timer, Places):
            self._look_at_places(timer.instance, now)
        elif isinstance(timer, CopyKey):
            if self._keeping.copy_timer(timer, now):
                self._dispatching.after_release(timer.device, now)
        elif isinstance(timer, str):
            device = self.state.devices.get(timer)
            if device is not None:
                device.hold_until_ns = None
                self._dispatching.dispatch(device, now)
        elif timer in self.state.instances:
            self._keeping.instance_timer(self.state.instances[timer], now)

    def _look_at_places(self, instance_id: int, now: int) -> None:
        instance = self.state.instances.get(instance_id)
        if instance is not None:
            instance.places_timer = False
            self._dispatching.request_adapters(instance.group, now)

    def _not_released(self, timer: Release, now: int) -> None:
        """End an instance that still runs a cancelled request or the prefill of its batch."""
        instance = self.state.instances.get(timer.instance)
        if instance is None or instance.phase is Phase.STOPPING:
            return
        if timer.request not in instance.running and not instance.prefills(timer.batch):
            return
        grace_s = self.state.cluster.settings.release_grace_ns / 1e9
        reason = f"it did not release a cancelled request within {grace_s:g} s"
        self._fail_running(instance, reason, now)
        self.state.not_waiting(instance)
        self._provisioning.stop(instance)
        if self.state.queue(instance.group.id):
            self._dispatching.serve(instance.group.id, now)
