"""The live platform: passes events of nodes and callers to the controller, and its actions on."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from systems.interface import ProcessorUse
from systems.runtime.calls import Call, Failure, Tokens, request_trace
from systems.runtime.http import schema
from systems.runtime.journal import Journal
from systems.runtime.messages import Cancel, Request, StepToken
from systems.runtime.processor import Metered
from systems.runtime.times import Step

from ..core import actions as act
from ..core import events as ev
from ..core.cluster_spec import DeviceSpec
from ..core.devices import TemplatePhase
from ..core.policies import PolicySet
from ..platform_base import PlatformBase
from .messages import (
    Cancelled,
    Decoded,
    PauseDecoding,
    Prefilled,
    Progress,
    ResumeDecoding,
    RunBatch,
)
from .nodes import AnyNode, DeviceWork
from .plan import Plan

_LOOK_S = 0.01
_TELL_S = 10.0
"""Between two times that a deployment tells what it waits for."""


class Platform(PlatformBase):
    """One controller and its nodes. Lives in the gateway's event loop, which is its only thread."""

    def __init__(self, plan: Plan, policies: PolicySet, journal: Journal) -> None:
        self.plan = plan
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self.nodes: dict[str, AnyNode] = {}
        """By host."""
        self._back_to_back = policies.back_to_back
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count()
        super().__init__(
            plan.cluster, policies, journal, trace_decisions=plan.options.trace_decisions
        )

    def _now(self) -> int:
        return time.monotonic_ns()

    def _at(self, at_ns: int, then: Callable[[], None]) -> None:
        delay_s = max(0.0, (at_ns - time.monotonic_ns()) / 1e9)
        # No sooner than asked: the loop's clock is coarser than the controller's.
        self._loop.call_later(delay_s + 1e-3, then)

    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        return {
            act.StartTemplate: lambda action: self._on_host(action.host, action),
            act.StartInstance: lambda action: self._on_device(action.device, action),
            act.StopInstance: self._on_instance,
            act.LoadArtifact: self._on_instance,
            act.OffloadArtifacts: self._on_instance,
            act.PrepareAdapter: lambda action: self._on_host(action.host, action),
            act.LoadAdapter: self._on_instance,
            act.DropAdapter: self._on_instance,
            act.LoadBackbone: lambda action: self._on_device(action.copy.device, action),
            act.CopyBackbone: lambda action: self._on_device(action.copy.device, action),
            act.DropBackbone: lambda action: self._on_device(action.copy.device, action),
            act.RunBatch: self._run_batch,
            act.PauseDecoding: self._pause,
            act.ResumeDecoding: self._resume,
            act.CancelRequest: self._cancel,
            act.FailRequest: self._fail,
            act.SetTimer: self._set_timer,
        }

    async def deploy(self, on_wait: Callable[[str], object]) -> None:
        """Start what must exist before the first call, and wait until it does: without a deadline,
        since a node watches all these processes, and a disk may be slow. Call ``on_wait`` at once
        and every ``_TELL_S`` seconds with what is waited for."""
        self.post(ev.Deployed())
        due_s = self._loop.time()
        while found := [what for host in self.nodes for what in self.awaited(host)]:
            if self._loop.time() >= due_s:
                due_s = self._loop.time() + _TELL_S
                on_wait(", ".join(found))
            await asyncio.sleep(_LOOK_S)

    def awaited(self, host: str) -> list[str]:
        """Name what ``host`` still starts of all that must exist before its first request."""
        state = self.controller.state
        there = state.hosts.get(host)
        if there is None or not self.plan.cluster.settings.template_at_deployment:
            return []
        found = ["the template"] if there.template is TemplatePhase.STARTING else []
        found += [
            f"backbone {copy.key.backbone} on {copy.key.device}"
            for copy in state.copies.values()
            if copy.load and not copy.loaded and state.devices[copy.key.device].spec.host == host
        ]
        return found if self.nodes[host].settled else [*found, "prewarmed processes and loaders"]

    # -- callers ----------------------------------------------------------------------------

    def submit(self, **fields: Any) -> Call:
        """Accept a request; ``call.answers`` receives its tokens, or a failure."""
        call = Call(next(self._ids), **fields)
        self._calls[call.id] = call
        limit_s = self.plan.deployment.limits.request_timeout_s
        call.deadline = self._loop.call_later(limit_s, self._time_out, call, limit_s)
        self.post(ev.RequestArrived(call.id, call.function, len(call.prompt_ids), call.max_tokens))
        return call

    def abandon(self, call: Call) -> None:
        """Cancel a request whose caller has left."""
        if call.id in self._calls:
            self.post(ev.RequestCancelled(call.id))
            if call.instance is None:
                del self._calls[call.id]

    def _time_out(self, call: Call, limit_s: float) -> None:
        call.answers.put(Failure(504, f"no answer within request_timeout_s={limit_s:g}"))

    def answered(self, call: Call, responded_ns: int | None) -> None:
        """Journal the request as its last bytes are sent (None: the caller has left)."""
        if call.deadline is not None:
            call.deadline.cancel()
        if call.done_ns is None:
            call.done_ns = time.monotonic_ns()
        self._journal.request(request_trace(call, responded_ns), call.tokens)

    # -- actions ----------------------------------------------------------------------------

    def _run_batch(self, action: act.RunBatch) -> None:
        node = self._node_of(action.instance)
        self._begin_activity(action.instance, node.threads if node else None)
        if node is None:
            return
        together = self._computed_together(action)
        for request in together:
            if request in self._calls:
                self._calls[request].batch_size = len(together)
        for request in action.requests:
            call = self._calls[request]
            spans, up_ns = node.provisioned(action.instance, call.function)
            call.instance = action.instance
            call.placed_ns = time.monotonic_ns()
            call.provisioning = spans
            call.started_for_it = up_ns > call.received_ns
            node.send(action.instance, Request(call.fields(self._adapter_in_place(call))))
        node.send(action.instance, RunBatch(action.batch, action.requests, self._back_to_back))

    def _adapter_in_place(self, call: Call) -> str | None:
        """Return the name of the adapter that the call uses, of several that its instance holds."""
        cluster = self.plan.cluster
        in_place = cluster.group_of(call.function).places and (
            cluster.functions[call.function].adapter_bytes
        )
        return call.function if in_place else None

    def _pause(self, action: act.PauseDecoding) -> None:
        node = self._node_of(action.instance)
        if node is not None:
            node.send(action.instance, PauseDecoding(action.most_ns))

    def _resume(self, action: act.ResumeDecoding) -> None:
        node = self._node_of(action.instance)
        if node is not None:
            node.send(action.instance, ResumeDecoding())

    def _cancel(self, action: act.CancelRequest) -> None:
        node = self._node_of(action.instance)
        if node is not None:
            node.send(action.instance, Cancel(action.request))

    def _fail(self, action: act.FailRequest) -> None:
        call = self._calls.pop(action.request, None)
        if call is not None:
            wait_ns = action.retry_after_ns
            wait_s = None if wait_ns is None else schema.retry_after_s(wait_ns)
            call.done_ns = time.monotonic_ns()
            call.answers.put(Failure(action.status, action.reason, wait_s))
            self._settle_activity(call.instance)

    # -- nodes ------------------------------------------------------------------------------

    def join(self, host: str, node: AnyNode, devices: tuple[DeviceSpec, ...] = ()) -> None:
        """Use a machine from now on; ``devices``: those that the cluster spec does not have yet."""
        self.nodes[host] = node
        if devices:
            self.post(ev.HostJoined(devices))

    def leave(self, host: str, reason: str) -> None:
        """Remove a machine and all that ran there."""
        if self.nodes.pop(host, None) is not None:
            self.post(ev.HostLeft(host, reason))

    async def close(self) -> None:
        self._end_activity()
        await asyncio.gather(*(node.close() for node in self.nodes.values()))

    def _device_work(self, device: str, *, busy: bool) -> None:
        """Tell the node. On the CPU an idle process prepares nothing."""
        if self.plan.device == "cuda":
            self._on_device(device, DeviceWork(device, busy))

    def _on_host(self, host: str, action: act.Action | DeviceWork) -> None:
        """Pass an action to its host; drop it if the host has left."""
        node = self.nodes.get(host)
        if node is not None:
            node.do[type(action)](action)

    def _on_device(self, device: str, action: act.Action | DeviceWork) -> None:
        found = self.controller.state.devices.get(device)
        if found is not None:
            self._on_host(found.spec.host, action)

    def _on_instance(self, action: Any) -> None:
        instance = self.controller.state.instances.get(action.instance)
        if instance is not None:
            self._on_device(instance.device, action)

    def _node_of(self, instance_id: int) -> AnyNode | None:
        instance = self.controller.state.instances.get(instance_id)
        device = self.controller.state.devices.get(instance.device) if instance else None
        return self.nodes.get(device.spec.host) if device else None

    # -- what instances say -----------------------------------------------------------------

    def tokens(self, instance: int, message: Progress) -> None:
        """Take tokens of an instance; only those of requests that run on it count."""
        now = time.monotonic_ns()
        match message:
            case Cancelled():
                done = [message.request]
            case Prefilled():
                step = Step.of(message.start_ns, message.t_ns, now)
                done = self._deliver(instance, message.tokens, step)
                self.post(ev.BatchPrefilled(instance, message.batch, message.computed_ns))
            case Decoded():
                done = self._deliver(instance, message.tokens, Step.of(None, message.t_ns, now))
                self._begins(instance)
        for request in done:
            self._finish(instance, request)

    def _begins(self, instance_id: int) -> None:
        """Close a batch that waited for this decode step to end: the instance begins it now."""
        instance = self.controller.state.instances.get(instance_id)
        prefill = instance.prefilling if instance is not None else None
        if prefill is not None and prefill.open:
            self.post(ev.BatchBegun(instance_id, prefill.batch))

    def _deliver(self, instance: int, tokens: Iterable[StepToken], step: Step) -> list[int]:
        done: list[int] = []
        for token in tokens:
            call = self._calls.get(token.request)
            if call is None or call.instance != instance or call.tokens == call.max_tokens:
                continue
            call.stepped(step)
            call.tokens += 1
            call.answers.put(Tokens((token.id,), token.finished))
            if token.finished:
                done.append(token.request)
        return done

    def _finish(self, instance: int, request: int) -> None:
        self.post(ev.RequestFinished(instance, request))
        if request not in self.controller.state.requests:
            call = self._calls.pop(request, None)
            if call is not None:
                call.done_ns = time.monotonic_ns()
                self._settle_activity(call.instance)

    def metered(self, instance_id: int, seen: Metered) -> None:
        """Journal the processor time that the kernel counted for an instance."""
        instance = self.controller.state.instances.get(instance_id)
        if instance is not None:
            self._journal.processor(
                ProcessorUse(
                    seen.start_ns,
                    seen.end_ns,
                    instance.device,
                    str(instance_id),
                    instance.group.id,
                    seen.used_ns,
                )
            )
