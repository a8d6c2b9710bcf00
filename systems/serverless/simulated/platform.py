"""Carries out the controller's actions in virtual time and records the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from systems.interface import Span, Stage
from systems.request_limits import UNLIMITED, Limiter, RequestLimits
from systems.runtime import stages
from systems.runtime.stages import Timeline
from systems.simulation.arrival import Arrival
from systems.simulation.clock import Clock
from systems.simulation.decision_times import DecisionTimes
from systems.simulation.draws import Draws
from systems.simulation.hardware import hardware
from systems.simulation.latency_model import LatencyModel
from systems.simulation.preparer import Preparer
from systems.simulation.profile import Profile
from systems.simulation.regimes import CONTINUOUS, Regime
from systems.simulation.work import Work
from systems.simulation.worker import Worker

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import DORMANT, PARKED, Artifact, CopyKey
from ..core.cluster_spec import ClusterSpec, GroupSpec
from ..core.policies import PolicySet
from ..platform_base import PlatformBase
from .adapters import AdapterLoad, AdapterTier
from .engines import Engines
from .prewarmed import PrewarmedProcess, PrewarmedProcesses
from .running import Call, Copy, KeptTrace, Process

_NS = 1e9
_CALLER = "the harness"
"""Who sends all requests."""


class Platform(PlatformBase):
    """One controller in virtual time. ``latency``: latency models by group; ``timeout_ns``: when a
    waiting request fails; ``piece_tokens`` and ``regime`` as in :class:`Worker`; ``ended`` is
    called when a request has ended. ``caller_limits``: of the only caller."""

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
        regime: Regime = CONTINUOUS,
        adapter_tier_bytes: int = 1 << 62,
        trace_decisions: bool = False,
        caller_limits: RequestLimits = UNLIMITED,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = Clock()
        self.calls: dict[int, Call] = {}
        self._timeouts: deque[Call] = deque()
        self.kept = KeptTrace()
        self._profile, self._latency, self._timeout_ns = profile, latency, timeout_ns
        self._told_of_end = ended
        self._caller = Limiter("caller", caller_limits)
        self._draws = Draws(profile.draw_key)
        self._piece_tokens, self._regime = piece_tokens, regime
        self._hardware = hardware(cluster.devices, self.clock, profile)
        self._cores = {
            spec.host: self._hardware[device].cores for device, spec in cluster.devices.items()
        }
        self._templates = {host: Timeline.empty() for host in self._cores}
        self._engines = Engines(self.clock, profile, self._hardware)
        self._prewarmed = PrewarmedProcesses(
            prewarmed, self.clock, profile, self._draws, self._hardware, self._prewarmed_engine
        )
        self._on_cards = all(each.startswith("cuda") for each in cluster.devices)
        self._tier_bytes = dict.fromkeys(self._cores, 0)
        self._tiers = {
            host: AdapterTier(cores, adapter_tier_bytes, partial(self._tier_resized, host))
            for host, cores in self._cores.items()
        }
        self._processes: dict[int, Process] = {}
        self._copies: dict[CopyKey, Copy] = {}
        self.decision_times = DecisionTimes()
        super().__init__(cluster, policies, self.kept, trace_decisions=trace_decisions)

    def _now(self) -> int:
        return self.clock.now

    def _at(self, at_ns: int, then: Callable[[], None]) -> None:
        self.clock.at(at_ns, then)

    def _tier_resized(self, host: str, change: int) -> None:
        """Report a host tier as host memory where devices have memory of their own, as live."""
        self._tier_bytes[host] += change
        if self._on_cards:
            self.post(ev.AdapterTierResized(self._tier_bytes[host], host))

    def _host_of(self, device: str) -> str:
        return self.controller.state.devices[device].spec.host

    def _device_work(self, device: str, *, busy: bool) -> None:
        self._prewarmed.device_work(device, busy=busy)
        self._engines.device_work(device, busy=busy)

    def _carry_out(self) -> dict[type, Callable[[Any], None]]:
        return {
            act.StartTemplate: self._start_template,
            act.StartInstance: self._start_instance,
            act.StopInstance: self._stop_instance,
            act.LoadArtifact: self._load_artifact,
            act.OffloadArtifacts: self._offload_artifacts,
            act.PrepareAdapter: self._prepare_adapter,
            act.LoadAdapter: self._load_adapter,
            act.DropAdapter: self._drop_adapter,
            act.LoadBackbone: self._load_backbone,
            act.CopyBackbone: self._copy_backbone,
            act.DropBackbone: self._drop_backbone,
            act.RunBatch: self._run_batch,
            act.CancelRequest: self._cancel,
            act.FailRequest: self._fail,
            act.SetTimer: self._set_timer,
        }

    def _decide(self, event: ev.Event) -> list[act.Action]:
        with self.decision_times:
            return self.controller.handle(event, self.clock.now)

    def deploy(self) -> None:
        """Start what must exist before the first call; it is ready when the clock starts."""
        self._do[act.StartTemplate] = lambda action: self.post(ev.TemplateReady(action.host))
        self._do[act.LoadBackbone] = self._do[act.CopyBackbone] = self._backbone_there
        self.post(ev.Deployed())
        self._do = self._carry_out()

    def _backbone_there(self, action: act.LoadBackbone | act.CopyBackbone) -> None:
        self._copies[action.copy] = Copy(loaded=True)
        self._hardware[action.copy.device].files.cached(action.copy.backbone)
        self.post(ev.BackboneLoaded(action.copy, action.load))
        self._prewarmed.fill(action.copy)

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
            self._timeouts.append(call)
            if len(self._timeouts) == 1:
                self._await_timeout()

    def _ended(self) -> None:
        self._caller.end(_CALLER)
        self._told_of_end()

    def _await_timeout(self) -> None:
        """Set the only event for the timeouts of waiting requests, which are in order of arrival:
        one for each would make every event wait behind thousands that come to nothing."""
        waiting = self._timeouts
        while waiting and not waiting[0].waits:
            waiting.popleft()
        if waiting:
            self.clock.at(waiting[0].received_ns + self._timeout_ns, self._time_out)

    def _time_out(self) -> None:
        call = self._timeouts.popleft()
        if call.waits:
            call.status = "timeout"
            self.post(ev.RequestCancelled(call.work.id))
            self._ended()
        self._await_timeout()

    # -- actions ----------------------------------------------------------------------------

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        self.clock.at(self.clock.now + round(seconds * _NS), then)

    def _start_template(self, action: act.StartTemplate) -> None:
        host = action.host
        self._templates[host].begin(Stage.WARMING, self.clock.now)
        work_ns = self._draws.ns(self._profile.process_s, "process", f"template of {host}")
        self._cores[host].start(work_ns, partial(self._template_up, host))

    def _template_up(self, host: str) -> None:
        self._templates[host].end(Stage.WARMING, self.clock.now)
        if not self.controller.policies.preloading.template_libraries:
            self.post(ev.TemplateReady(host))
            return
        self._templates[host].begin(Stage.LIBRARIES, self.clock.now)
        work_ns = self._draws.ns(self._profile.libraries_s, "libraries", f"template of {host}")
        self._cores[host].start(work_ns, partial(self._template_ready, host))

    def _template_ready(self, host: str) -> None:
        self._templates[host].end(Stage.LIBRARIES, self.clock.now)
        self.post(ev.TemplateReady(host))

    def _start_instance(self, action: act.StartInstance) -> None:
        group = self.controller.state.cluster.groups[action.group]
        latency = self._latency[group.id]
        worker = Worker(
            self.clock,
            self._hardware[action.device].compute,
            latency,
            partial(self._prefilled, action.instance),
            partial(self._finished, action.instance),
            self._piece_tokens,
            self._draws,
            self._regime,
        )
        process = Process(
            action.instance, action.device, latency, group.backbone, group.functions[0], worker
        )
        self._processes[process.id] = process
        if action.takes is not None:
            self._take_container(process, action.takes)
            return
        if action.forked and self._take_prewarmed(process):
            return
        process.timeline.begin(Stage.WARMING, self.clock.now)
        profile = self._profile
        number, what = (profile.fork_s, "fork") if action.forked else (profile.process_s, "process")
        work_ns = self._draws.ns(number, what, process.drawn_for)
        self._hardware[process.device].cores.start(work_ns, partial(self._started, process))

    def _take_container(self, process: Process, before: int) -> None:
        """Let ``process`` go on in that of an instance, which releases its artifacts first."""
        old = self._processes.pop(before)
        old.worker.drop_engine()
        self.post(ev.InstanceStopped(before))
        self._after(self._profile.offload_s.value, partial(self._vacated, process))

    def _vacated(self, process: Process) -> None:
        if process.id in self._processes and not process.stopping:
            self.post(ev.InstanceStarted(process.id))

    def _take_prewarmed(self, process: Process) -> bool:
        """Use a prewarmed process for ``process``; return whether there was one."""
        prewarmed_process = self._prewarmed.take(process.backbone, process.device)
        if prewarmed_process is None:
            return False
        process.prewarmed_process, process.timeline = True, prewarmed_process.timeline
        process.timeline.begin(Stage.WARMING, self.clock.now)
        prewarmed_process.become(partial(self._became, process, prewarmed_process))
        return True

    def _became(self, process: Process, prewarmed: PrewarmedProcess) -> None:
        process.worker.preparer = prewarmed.preparer
        process.worker.interrupt(partial(self._after, 0, partial(self._started, process)))

    def _prewarmed_engine(self, copy: CopyKey) -> Preparer | None:
        """Build the engine of a prewarmed process: as for the largest group of its backbone."""
        cluster = self.controller.state.cluster
        groups = (each for each in cluster.groups.values() if each.backbone == copy.backbone)
        largest = max(groups, key=lambda each: (each.places, each.batch_limit))
        return self._engine(copy.device, largest, new_process=True)

    def _engine(self, device: str, group: GroupSpec, *, new_process: bool) -> Preparer | None:
        context = self.controller.state.cluster.settings.max_context_tokens
        return self._engines.build(device, group.batch_limit, context, new_process=new_process)

    def _started(self, process: Process) -> None:
        if process.id in self._processes and not process.stopping:
            process.up_ns = self.clock.now
            process.timeline.end(Stage.WARMING, self.clock.now)
            self.post(ev.InstanceStarted(process.id))

    def _stop_instance(self, action: act.StopInstance) -> None:
        process = self._processes[action.instance]
        process.stopping = True
        process.worker.drop_engine()
        process.drop_adapters()
        self._after(self._profile.stop_s.value, partial(self._stopped, process))

    def _stopped(self, process: Process) -> None:
        del self._processes[process.id]
        self.post(ev.InstanceStopped(process.id))

    # -- artifacts --------------------------------------------------------------------------

    def _load_artifact(self, action: act.LoadArtifact) -> None:
        process = self._processes[action.instance]
        artifact, profile = action.artifact, self._profile
        loaded = partial(self._loaded, process, artifact)
        process.timeline.begin(Stage(artifact.value), self.clock.now)
        if artifact is Artifact.LIBRARIES:
            cores = self._hardware[process.device].cores
            work_ns = self._draws.ns(profile.libraries_s, "libraries", process.drawn_for)
            cores.start(work_ns, loaded)
        elif artifact is Artifact.BACKBONE:
            process.copy = action.copy
            if process.prewarmed_process:
                self._after(0, loaded)
            elif action.copy is not None and action.copy.shared:
                work_ns = self._draws.ns(profile.map_s, "map", process.drawn_for)
                self._hardware[process.device].link.start(work_ns, loaded)
            else:
                files = self._hardware[process.device].files
                files.read(process.backbone, process.latency, loaded, private=True)
        elif artifact is Artifact.ADAPTER:
            if process.latency.size.adapter_bytes:
                self._hardware[process.device].link.start(process.latency.adapter_ns(), loaded)
            else:
                self._after(0, loaded)
        elif process.prewarmed_process:
            assert profile.spare_s is not None
            process.prewarmed_process = False
            work_ns = self._draws.ns(profile.spare_s, "spare", process.drawn_for)
            self._hardware[process.device].takeovers.start(work_ns, loaded)
        elif not self._take_over(process, loaded):
            self._load_kernels(process, loaded)

    def _load_kernels(self, process: Process, loaded: Callable[[], None]) -> None:
        """Build the engine of a process, which has the libraries' kernels if it was parked. An
        engine without shapes takes its first batch for what the others take for their shapes."""
        profile, parked = self._profile, process.residency == PARKED
        group = self.controller.state.instances[process.id].group
        process.worker.preparer = self._engine(process.device, group, new_process=not parked)
        own = profile.parked_batch_s if parked else profile.first_batch_s
        work_ns, extra_ns = 0.0, self._draws.ns(own, "first batch", process.drawn_for)
        if not parked:
            work_ns = self._draws.ns(profile.kernels_s, "kernels", process.drawn_for)
        if process.worker.preparer is not None:
            work_ns, extra_ns = extra_ns if parked else work_ns, 0.0
        process.worker.extra_ns = extra_ns
        self._hardware[process.device].starts.start(work_ns, loaded)

    def _take_over(self, process: Process, loaded: Callable[[], None]) -> bool:
        """Let a ready prewarmed process, if there is one, replace that of an instance that has no
        engine, as ``live/takeover.py`` does. It needs the adapter; the old process ends."""
        copy, there, spare_s = process.copy, self._hardware[process.device], self._profile.spare_s
        if copy is None or spare_s is None or not process.latency.size.adapter_bytes:
            return False
        prewarmed = self._prewarmed.replace(copy)
        if prewarmed is None:
            return False

        def adapter_loaded() -> None:
            process.timeline.end(Stage.ADAPTER, self.clock.now)
            work_ns = self._draws.ns(spare_s, "spare", process.drawn_for)
            there.takeovers.start(work_ns, loaded)

        process.worker.extra_ns, process.worker.preparer = 0.0, prewarmed.preparer
        process.timeline.begin(Stage.ADAPTER, self.clock.now)
        load = partial(there.link.start, process.latency.adapter_ns(), adapter_loaded)
        process.worker.interrupt(load)
        self._after(self._profile.stop_s.value, partial(self._replaced_ended, copy))
        return True

    def _replaced_ended(self, copy: CopyKey) -> None:
        self._prewarmed.replaced_ended(copy)
        if copy in self._copies:
            self._prewarmed.refill(copy)

    def _loaded(self, process: Process, artifact: Artifact) -> None:
        if process.id not in self._processes or process.stopping:
            return
        process.timeline.end(Stage(artifact.value), self.clock.now)
        process.last_ready_ns = self.clock.now
        self.post(ev.ArtifactLoaded(process.id, artifact))
        if artifact is Artifact.KERNELS:
            process.worker.rest()
        if artifact is Artifact.KERNELS and process.copy is not None and process.copy.shared:
            self._prewarmed.refill(process.copy)

    def _offload_artifacts(self, action: act.OffloadArtifacts) -> None:
        process = self._processes[action.instance]
        process.drop_adapters()
        process.worker.drop_engine()
        backbone = Artifact.BACKBONE in action.artifacts
        process.residency = DORMANT if backbone else PARKED
        self._after(self._profile.offload_s.value, partial(self._offloaded, process))

    def _offloaded(self, process: Process) -> None:
        if process.id in self._processes and not process.stopping:
            self.post(ev.ArtifactsOffloaded(process.id))

    def _load_backbone(self, action: act.LoadBackbone) -> None:
        self._read_backbone(action, self._new_copy(action.copy))

    def _copy_backbone(self, action: act.CopyBackbone) -> None:
        """Copy from another device once that has the backbone, or read it if it never has."""
        copy, source = self._new_copy(action.copy), self._copies.get(action.source)
        begin = partial(self._begin_copy, action, copy)
        if source is None or source.loaded:
            begin(source is not None)
        else:
            source.waiting.append(begin)

    def _begin_copy(self, action: act.CopyBackbone, copy: Copy, there: bool) -> None:
        if copy.dropped:
            return
        if there:
            work_ns = self._latency_of(action.copy.backbone).peer_ns()
            loaded = partial(self._backbone_loaded, action, copy)
            self._hardware[action.source.device].peers.start(work_ns, loaded)
        else:
            self._read_backbone(action, copy)

    def _new_copy(self, key: CopyKey) -> Copy:
        copy = self._copies[key] = Copy()
        copy.timeline.begin(Stage.BACKBONE, self.clock.now)
        return copy

    def _latency_of(self, backbone: str) -> LatencyModel:
        groups = self.controller.state.cluster.groups.values()
        return self._latency[next(group.id for group in groups if group.backbone == backbone)]

    def _read_backbone(self, action: act.LoadBackbone | act.CopyBackbone, copy: Copy) -> None:
        name, files = action.copy.backbone, self._hardware[action.copy.device].files
        files.read(name, self._latency_of(name), partial(self._backbone_loaded, action, copy))

    def _backbone_loaded(self, action: act.LoadBackbone | act.CopyBackbone, copy: Copy) -> None:
        if not copy.dropped:
            copy.timeline.end(Stage.BACKBONE, self.clock.now)
            copy.loaded = True
            self._release(copy, there=True)
            self.post(ev.BackboneLoaded(action.copy, action.load))

    def _release(self, copy: Copy, *, there: bool) -> None:
        """Begin what waits for ``copy``."""
        waiting, copy.waiting = copy.waiting, []
        for begin in waiting:
            begin(there)

    def _drop_backbone(self, action: act.DropBackbone) -> None:
        self._prewarmed.drop(action.copy)
        copy = self._copies.pop(action.copy)
        copy.dropped = True
        self._release(copy, there=False)

    def _prepare_adapter(self, action: act.PrepareAdapter) -> None:
        group = self.controller.state.cluster.functions[action.function].group
        self._tiers[action.host].prepare(action.function, self._latency[group])

    def _load_adapter(self, action: act.LoadAdapter) -> None:
        process = self._processes[action.instance]
        hardware, latency = self._hardware[process.device], process.latency
        loaded = partial(self._adapter_loaded, action)
        load = AdapterLoad(self.clock, hardware.link, latency, loaded)
        process.adapters[action.function] = load
        self._tiers[self._host_of(process.device)].get(action.function, latency, load.copy)

    def _adapter_loaded(self, action: act.LoadAdapter) -> None:
        self.post(ev.AdapterLoaded(action.instance, action.function))

    def _drop_adapter(self, action: act.DropAdapter) -> None:
        self._processes[action.instance].adapters.pop(action.function).drop()

    # -- batches ----------------------------------------------------------------------------

    def _run_batch(self, action: act.RunBatch) -> None:
        process = self._processes[action.instance]
        self._begin_activity(action.instance)
        size = len(action.requests)
        work: list[Work] = []
        for request in action.requests:
            call = self.calls[request]
            call.instance, call.batch_size = process.id, size
            call.started_for_it = process.up_ns >= call.received_ns
            if process.ready_ns(call.function) > call.received_ns:
                call.spans = self._provisioning(process, call)
            work.append(call.work)
        process.worker.run(action.batch, work)

    def _provisioning(self, process: Process, call: Call) -> tuple[Span, ...]:
        """Return the spans of all that this instance had to wait for since the request came, and
        of the request's own adapter."""
        copy = self._copies.get(process.copy) if process.copy is not None else None
        template = self._templates[self._host_of(process.device)]
        timelines = (template, copy.timeline if copy else None, process.timeline)
        spans = [span for timeline in timelines if timeline for span in timeline.spans]
        own = process.adapters.get(call.function)
        spans += [own.span] if own else []
        return tuple(span for span in spans if span.end_ns > call.received_ns)

    def _prefilled(self, instance: int, batch: int, computed_ns: int) -> None:
        self.post(ev.BatchPrefilled(instance, batch, computed_ns))

    def _finished(self, instance: int, request: int) -> None:
        call = self.calls[request]
        call.status = "ok"
        self.post(ev.RequestFinished(instance, request))
        self._settle_activity(instance)
        self._ended()

    def _cancel(self, action: act.CancelRequest) -> None:
        self._processes[action.instance].worker.forget(action.request)
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
