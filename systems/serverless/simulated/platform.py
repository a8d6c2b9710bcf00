"""Carries out the controller's actions in virtual time and records the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from systems.interface import Span, Stage
from systems.request_limits import UNLIMITED, Limiter, RequestLimits
from systems.runtime import stages
from systems.simulation.arrival import Arrival
from systems.simulation.clock import Clock
from systems.simulation.decision_times import DecisionTimes
from systems.simulation.draws import Draws
from systems.simulation.hardware import hardware
from systems.simulation.latency_model import LatencyModel
from systems.simulation.number import value_of
from systems.simulation.profile import Profile
from systems.simulation.regimes import CONTINUOUS, Regime
from systems.simulation.timeouts import Timeouts
from systems.simulation.work import Work
from systems.simulation.worker import Worker

from ..core import actions as act
from ..core import events as ev
from ..core.cluster_spec import ClusterSpec, GroupSpec
from ..core.policies import PolicySet
from ..platform_base import PlatformBase
from .adapter_places import AdapterPlaces
from .artifact_loading import ArtifactLoading
from .backbones import BackboneCopies, deployment_ns
from .engines import Engines
from .machine import Machine
from .prewarmed import PrewarmedProcesses
from .processes import Processes
from .running import Call, KeptTrace, Process
from .templates import Templates

_CALLER = "the harness"
"""Who sends all requests."""


class Platform(PlatformBase):
    """One controller in virtual time. ``latency``: latency models by group; ``timeout_ns``: when a
    waiting request fails; ``piece_tokens`` and ``regime`` as in :class:`Worker`; ``mixed_passes``:
    whether engines that have them use them; ``ended`` is called when a request has ended.
    ``caller_limits``: of the only caller."""

    def __init__(
        self,
        cluster: ClusterSpec,
        policies: PolicySet,
        profile: Profile,
        latency: Mapping[str, LatencyModel],
        *,
        timeout_ns: int,
        prewarmed: int = 0,
        piece_tokens: int | None = None,
        mixed_passes: bool = False,
        regime: Regime = CONTINUOUS,
        adapter_tier_bytes: int = 1 << 62,
        trace_decisions: bool = False,
        caller_limits: RequestLimits = UNLIMITED,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = clock = Clock(-_deployment_ns(cluster, profile, latency))
        self.calls: dict[int, Call] = {}
        self.kept = KeptTrace()
        self.decision_times = DecisionTimes()
        self._told_of_end = ended
        self._caller = Limiter("caller", caller_limits)
        self._piece_tokens, self._regime = piece_tokens, regime
        self._mixed_passes = mixed_passes
        self._back_to_back = policies.back_to_back
        self._timeouts = Timeouts(clock, timeout_ns, self._time_out)
        resources, draws = hardware(cluster.devices, clock, profile), Draws(profile.draw_key)
        self.machine = machine = Machine(
            cluster, profile, latency, clock, draws, resources, self.post
        )
        self._engines = engines = Engines(clock, profile, resources, cluster, mixed=mixed_passes)
        self._prewarmed = pool = PrewarmedProcesses(
            prewarmed, clock, profile, draws, resources, engines.prewarmed, self.post
        )
        self._running: dict[int, Process] = {}
        libraries = policies.template_libraries
        self.templates = Templates(machine, libraries=libraries)
        self._backbones = BackboneCopies(machine, pool)
        self._processes = Processes(machine, pool, self._running, self._worker)
        copies = self._backbones.copies
        self._artifacts = ArtifactLoading(machine, self._running, engines, pool, copies)
        self._places = AdapterPlaces(
            machine, self._running, adapter_tier_bytes, libraries=libraries
        )
        super().__init__(cluster, policies, self.kept, trace_decisions=trace_decisions)

    def _now(self) -> int:
        return self.clock.now

    def _at(self, at_ns: int, then: Callable[[], None]) -> None:
        self.clock.at(at_ns, then)

    def _device_work(self, device: str, *, busy: bool) -> None:
        self._prewarmed.device_work(device, busy=busy)
        self._engines.device_work(device, busy=busy)

    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        return {
            act.StartTemplate: self.templates.start,
            act.StartInstance: self._processes.start,
            act.StopInstance: self._processes.stop,
            act.LoadArtifact: self._artifacts.load,
            act.OffloadArtifacts: self._processes.offload,
            act.PrepareAdapter: self._places.prepare,
            act.LoadAdapter: self._places.load,
            act.DropAdapter: self._places.drop,
            act.LoadBackbone: self._backbones.load,
            act.CopyBackbone: self._backbones.copy,
            act.DropBackbone: self._backbones.drop,
            act.RunBatch: self._run_batch,
            act.PauseDecoding: self._pause,
            act.ResumeDecoding: self._resume,
            act.CancelRequest: self._cancel,
            act.FailRequest: self._fail,
            act.SetTimer: self._set_timer,
        }

    def _decide(self, event: ev.Event) -> list[act.Action]:
        return self.decision_times.of(self.controller.handle, event, self.clock.now)

    def deploy(self) -> None:
        """Start what deployment waits for, of which templates are ready at once, and what it does
        not."""
        self._do[act.StartTemplate] = self.templates.there
        self._do[act.LoadBackbone] = self._do[act.CopyBackbone] = self._backbones.deploy
        self.post(ev.Deployed())
        self._do = self._carry_out()

    # -- requests ---------------------------------------------------------------------------

    def submit(self, arrival: Arrival) -> None:
        """Handle a request that arrives now."""
        request, function = arrival.id, arrival.function
        prompt_tokens, output_tokens = arrival.prompt_tokens, arrival.output_tokens
        work = Work(request, prompt_tokens, output_tokens, adapter=function)
        call = Call(work, function, self.clock.now)
        self.calls[request] = call
        if self._caller.excess(_CALLER, self.clock.now) is not None:
            call.status = "http_429"
            self._told_of_end()
            return
        self._caller.begin(_CALLER, self.clock.now)
        self.post(ev.RequestArrived(request, function, prompt_tokens, output_tokens))
        if call.instance is None and call.status == "waiting":
            self._timeouts.watch(call)

    def _time_out(self, call: Call) -> None:
        call.status = "timeout"
        self.post(ev.RequestCancelled(call.work.id))
        self._ended()

    def _ended(self) -> None:
        self._caller.end(_CALLER)
        self._told_of_end()

    # -- batches ----------------------------------------------------------------------------

    def _worker(self, instance: int, device: str, group: GroupSpec) -> Worker:
        return Worker(
            self.clock,
            self.machine.hardware[device].compute,
            self.machine.latency[group.id],
            partial(self._prefilled, instance),
            partial(self._finished, instance),
            self._piece_tokens,
            self.machine.draws,
            self._regime,
            begun=partial(self._begun, instance),
            back_to_back=self._back_to_back,
            mixes=self._mixed_passes and self.machine.latency[group.id].mixes,
        )

    def _run_batch(self, action: act.RunBatch) -> None:
        process = self._running[action.instance]
        self._begin_activity(action.instance)
        together = self._computed_together(action)
        for request in together:
            self.calls[request].batch_size = len(together)
        work: list[Work] = []
        for request in action.requests:
            call = self.calls[request]
            call.instance = process.id
            call.started_for_it = process.up_ns >= call.received_ns
            if process.ready_ns(call.function) > call.received_ns:
                call.spans = self._provisioning(process, call)
            work.append(call.work)
        process.worker.run(action.batch, work)

    def _pause(self, action: act.PauseDecoding) -> None:
        self._running[action.instance].worker.pause(action.most_ns)

    def _resume(self, action: act.ResumeDecoding) -> None:
        self._running[action.instance].worker.resume()

    def _provisioning(self, process: Process, call: Call) -> tuple[Span, ...]:
        """Return the spans of all that this instance had to wait for since the request came, and
        of the request's own adapter."""
        copy = self._backbones.copies.get(process.copy) if process.copy is not None else None
        template = self.templates.timelines[self.machine.host_of(process.device)]
        timelines = (template, copy.timeline if copy else None, process.timeline)
        spans = [span for timeline in timelines if timeline for span in timeline.spans]
        own = process.adapters.get(call.function)
        spans += [own.span] if own else []
        return tuple(span for span in spans if span.end_ns > call.received_ns)

    def _begun(self, instance: int, batch: int) -> None:
        prefill = self.controller.state.instances[instance].prefilling
        if prefill is not None and prefill.open and prefill.batch == batch:
            self.post(ev.BatchBegun(instance, batch))

    def _prefilled(self, instance: int, batch: int, computed_ns: int) -> None:
        self.post(ev.BatchPrefilled(instance, batch, computed_ns))

    def _finished(self, instance: int, request: int) -> None:
        call = self.calls[request]
        call.status = "ok"
        self.post(ev.RequestFinished(instance, request))
        self._settle_activity(instance)
        self._ended()

    def _cancel(self, action: act.CancelRequest) -> None:
        self._running[action.instance].worker.forget(action.request)
        self.post(ev.RequestFinished(action.instance, action.request))
        self._settle_activity(action.instance)

    def _fail(self, action: act.FailRequest) -> None:
        self.calls[action.request].status = f"http_{action.status}"
        self._ended()

    # -- the system trace -------------------------------------------------------------------

    def waited(self, call: Call) -> Sequence[Span]:
        """Return the stages of a request from receipt to last token."""
        work = call.work
        spans = stages.waited_for(call.spans, call.received_ns, work.prefill_ns)
        spans.append(Span(Stage.PREFILL, work.prefill_ns, work.first_ns))
        if work.last_ns > work.first_ns:
            spans.append(Span(Stage.DECODE, work.first_ns, work.last_ns))
        return spans


def _deployment_ns(
    cluster: ClusterSpec, profile: Profile, latency: Mapping[str, LatencyModel]
) -> int:
    """Return the time from the start of the loading of backbones to the start of the load."""
    loading = latency.values() if cluster.settings.backbones_at_deployment else ()
    loads_ns = (deployment_ns(each, from_device=True) for each in loading)
    return round(value_of(profile.before_load_s) * 1e9 + max(loads_ns, default=0.0))
