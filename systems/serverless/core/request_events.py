"""Events of requests: they arrive, are cancelled, are prefilled and finish."""

from __future__ import annotations

from . import actions as act
from . import events as ev
from . import work
from .artifacts import Release
from .instance import Instance, Phase
from .parts import Parts
from .waiting import Request


class RequestEvents:
    """Admits requests and ends them; appends the actions to ``out``."""

    def __init__(self, parts: Parts) -> None:
        self._state, self._policies = parts.state, parts.policies
        self._limiter, self._provisioning = parts.limiter, parts.provisioning
        self._releasing, self._dispatching = parts.releasing, parts.dispatching
        self._failing, self._out = parts.failing, parts.out
        self._prompts_first = parts.prompts_first

    def arrived(self, event: ev.RequestArrived, now: int) -> None:
        function = self._state.cluster.functions[event.function]
        group = self._state.cluster.groups[function.group]
        waiting = self._state.queue(group.id).of(function.id)
        excess = self._limiter.excess(function.id, now, waiting)
        if excess is not None:
            self._reject(event.request, excess.reason, excess.retry_after_ns)
            return
        self._state.estimates(group.id).arrived(event.max_tokens, now)
        if group.places:
            self._state.rate_of(function.id).observe(now)
        retry_after_ns = self._policies.admission.retry_after_ns(function.id, self._state, now)
        if retry_after_ns is not None:
            self._reject(event.request, "no deadline can be met", retry_after_ns)
            return
        self._limiter.begin(function.id, now)
        kv_bytes = group.kv_bytes(event.prompt_tokens + event.max_tokens)
        request = Request(event.request, function.id, group.id, kv_bytes, now, function.slo_ttft_ns)
        self._state.requests[request.id] = request
        self._state.enqueue(request)
        self._dispatching.serve(group.id, now, request)

    def _reject(self, request: int, reason: str, retry_after_ns: int) -> None:
        self._out.append(act.FailRequest(request, 429, reason, retry_after_ns))

    def cancelled(self, event: ev.RequestCancelled, now: int) -> None:
        request = self._state.requests.get(event.request)
        if request is None:
            return
        if request.instance is not None:
            self._forget(request, request.instance, now)
            return
        self._failing.drop(request)
        self._state.dequeue(request)
        if self._state.queue(request.group):
            self._dispatching.request_adapters(self._state.cluster.groups[request.group], now)
        else:
            self._dispatching.nobody_waits(request.group, now)

    def _forget(self, request: Request, instance: int, now: int) -> None:
        """Make ``instance`` release a request, within the release grace."""
        if request.cancelled or request.batch is None:
            return
        request.cancelled = True
        self._out.append(act.CancelRequest(instance, request.id))
        timer = Release(instance, request.id, request.batch)
        until_ns = now + self._state.cluster.settings.release_grace_ns
        self._out.append(act.SetTimer(timer, until_ns))

    def not_released(self, timer: Release, now: int) -> None:
        """End an instance that still runs a cancelled request or the prefill of its batch."""
        instance = self._state.instances.get(timer.instance)
        if instance is None or instance.phase is Phase.STOPPING:
            return
        if timer.request not in instance.running and not instance.prefills(timer.batch):
            return
        grace_s = self._state.cluster.settings.release_grace_ns / 1e9
        reason = f"it did not release a cancelled request within {grace_s:g} s"
        self._failing.fail_running(instance, reason, now)
        self._releasing.stop(instance)
        if self._state.queue(instance.group.id):
            self._dispatching.serve(instance.group.id, now)

    def finished(self, event: ev.RequestFinished, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        request = instance.running.get(event.request) if instance is not None else None
        if instance is None or request is None or not self._may_finish(request, instance):
            return
        if not request.cancelled:
            self._learn_service(request, instance, now)
        self._failing.drop(request)
        self._state.end(instance, request, now)
        work.settle(self._state, instance, now)
        self._provisioning.size_kv(instance)
        instance.idle_since_ns = now
        self._dispatching.rest(instance, now)
        if self._state.queue(instance.group.id):
            self._state.waits(instance)
            self._dispatching.request_adapters(instance.group, now)
            self._dispatching.scale(instance.group.id, now)
        self._dispatching.after_release(instance.device, now)

    def _learn_service(self, request: Request, instance: Instance, now: int) -> None:
        device = self._state.devices[instance.device]
        alone_ns = (now - request.begun_ns) / device.slowdown(device.at_work)
        self._state.estimates(instance.group.id).service.observe(alone_ns)

    @staticmethod
    def _may_finish(request: Request, instance: Instance) -> bool:
        """Refuse to end an uncancelled request in its prefill: the prefill would never end."""
        return request.cancelled or not instance.prefills(request.batch)

    def begun(self, event: ev.BatchBegun, now: int) -> None:  # noqa: ARG002
        instance = self._state.instances.get(event.instance)
        if instance is not None and instance.prefilling and instance.prefills(event.batch):
            instance.prefilling = instance.prefilling._replace(open=False)

    def prefilled(self, event: ev.BatchPrefilled, now: int) -> None:
        instance = self._state.instances.get(event.instance)
        if instance is None or not instance.prefills(event.batch):
            return
        self._learn(instance, event.computed_ns, now)
        instance.prefilled_ns = now
        work.end_prefill(self._state, instance)
        self._prompts_first.ended(instance)
        work.settle(self._state, instance, now)
        self._dispatching.rest(instance, now)
        self._dispatching.may_run(instance)
        self._dispatching.dispatch(self._state.devices[instance.device], now)

    def _learn(self, instance: Instance, computed_ns: int, now: int) -> None:
        prefill, contention = instance.prefilling, self._state.devices[instance.device].contention
        assert prefill is not None
        alone_ns = contention.read_ns(now) - prefill.began_alone_ns
        learnt = self._state.estimates(instance.group.id)
        learnt.prefills.observe(prefill, now - prefill.began_ns, alone_ns, computed_ns)
