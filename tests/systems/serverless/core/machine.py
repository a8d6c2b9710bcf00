"""A platform for tests of the controller: does its actions in any order and checks its rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from systems.request_limits import UNLIMITED, RequestLimits
from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import PRECEDENCE, Artifact, CopyKey, Timer
from systems.serverless.core.cluster_spec import (
    HOST,
    BackboneSpec,
    BatchLatency,
    ClusterSpec,
    DeviceSpec,
    FunctionSpec,
    GroupSpec,
    Settings,
)
from systems.serverless.core.controller import Controller
from systems.serverless.core.memory import Holding
from systems.serverless.core.policies import PolicySet
from systems.serverless.core.policies.admission import ShedHopeless
from systems.serverless.core.policies.batching import FillOrExpire, FirstComeFirstServed
from systems.serverless.core.policies.offloading import (
    LeastRecentlyUsed,
    NoOffloading,
    ValueDensity,
)
from systems.serverless.core.policies.preloading import ByDensity, ByExpectedArrival, NoPreloading
from systems.serverless.core.policies.sharing import PrivatePerInstance, SharedPerDevice

SHARING = PolicySet(
    sharing=SharedPerDevice,
    preloading=ByDensity,
    batching=FillOrExpire,
    offloading=ValueDensity,
)
PRIVATE = PolicySet(
    sharing=PrivatePerInstance,
    preloading=NoPreloading,
    batching=partial(FirstComeFirstServed, max_prefills=1),
    offloading=LeastRecentlyUsed,
)
OPPORTUNISTIC = PolicySet(
    sharing=PrivatePerInstance,
    preloading=ByExpectedArrival,
    batching=FirstComeFirstServed,
    offloading=LeastRecentlyUsed,
)
TAKING = replace(
    OPPORTUNISTIC,
    preloading=partial(ByExpectedArrival, takeover="libraries"),
    batching=partial(FillOrExpire, hold="always"),
)
POOL = PolicySet(
    sharing=SharedPerDevice,
    preloading=partial(ByDensity, libraries=False),
    batching=partial(FillOrExpire, max_prefills=2, hold="always"),
    offloading=ValueDensity,
)
SHEDDING = PolicySet(
    sharing=SharedPerDevice,
    preloading=NoPreloading,
    batching=partial(FillOrExpire, max_prefills=1, max_delay_ns=50),
    offloading=NoOffloading,
    admission=ShedHopeless,
)
BUNDLES = {
    "sharing": SHARING,
    "private": PRIVATE,
    "opportunistic": OPPORTUNISTIC,
    "pool": POOL,
    "shedding": SHEDDING,
}
PROMPTS_FIRST = replace(SHARING, batching=partial(FillOrExpire, prompts_first=True))
EVERY = {**BUNDLES, "taking": TAKING, "prompts-first": PROMPTS_FIRST}
"""Also those that no decisions were recorded of."""
NOBODY = GroupSpec("", "", (), 0, 0, 0)
DELAYS = {
    Artifact.LIBRARIES: 300,
    Artifact.BACKBONE: 400,
    Artifact.ADAPTER: 60,
    Artifact.KERNELS: 90,
}


def cluster(
    *,
    functions: int = 4,
    backbones: int = 1,
    devices: int = 1,
    memory: int = 1000,
    apart: bool = False,
    card: bool = False,
    shared: bool = False,
    places: int = 2,
    peers: bool = False,
    bare: bool = False,
    tenants: int = 1,
    limits: RequestLimits = UNLIMITED,
) -> ClusterSpec:
    """Build a cluster spec of small numbers: a backbone has 100 bytes, an instance initially 30 of
    its own. ``apart``: each device has its own host. ``card``: a process holds 3 bytes of its
    device until it ends, and every request takes a slot of 20 bytes. ``shared``: the functions of a
    backbone share instances, which have up to ``places`` places. ``peers``: devices of a host copy
    backbones from each other, in 40 ns. ``bare``: f0 has no adapter. ``tenants``: so many own the
    functions in turn. ``limits``: of each function."""
    groups = {
        name: _group(name, members, backbones, card=card, places=places)
        for name, members in _members(functions, backbones, shared).items()
    }
    return ClusterSpec(
        backbones={f"b{i}": BackboneSpec(f"b{i}", 100) for i in range(backbones)},
        groups=groups,
        functions={
            function: FunctionSpec(
                function,
                group.id,
                slo_ttft_ns=2_500,
                adapter_bytes=0 if bare and function == "f0" else 5,
                tenant=f"t{int(function[1:]) % tenants}",
            )
            for group in groups.values()
            for function in group.functions
        },
        devices={
            f"cpu:{i}": DeviceSpec(f"cpu:{i}", memory, host=f"h{i}" if apart else HOST)
            for i in range(devices)
        },
        settings=Settings(
            max_context_tokens=20,
            keep_alive_ns=1000,
            shared_keep_alive_ns=5000,
            container_keep_alive_ns=4000,
            container_memory_bytes=6,
            release_grace_ns=800,
            template_bytes=10,
            peer_copies=peers,
            function_limits=limits,
        ),
    )


def _members(functions: int, backbones: int, shared: bool) -> dict[str, tuple[str, ...]]:
    if not shared:
        return {f"f{i}": (f"f{i}",) for i in range(functions)}
    return {
        f"*@b{b}": tuple(f"f{i}" for i in range(b, functions, backbones))
        for b in range(min(backbones, functions))
    }


def _group(
    name: str, members: tuple[str, ...], backbones: int, *, card: bool, places: int
) -> GroupSpec:
    shared = name not in members
    taken = min(places, len(members)) if shared else 0
    return GroupSpec(
        name,
        f"b{int(members[0][1:]) % backbones}",
        members,
        batch_limit=4,
        places=taken,
        adapter_bytes=0 if shared else 5,
        places_bytes=5 * taken,
        kv_bytes_per_token=1,
        context_bytes=5,
        kv_slot_bytes=20 if card else 0,
        bare_bytes=3 if card else 0,
        host_bytes=3,
        dormant_bytes=2,
        law=BatchLatency(100, 10),
        delay_ns=DELAYS,
        peer_ns=40,
    )


@dataclass
class Process:
    """An instance, as the platform sees it."""

    group: GroupSpec
    device: str
    forked: bool
    up: bool = False
    in_place: list[Artifact] = field(default_factory=list)
    batch: int | None = None
    began_ns: int = 0
    """When this batch was sent."""
    waits: bool = False
    """The batch begins after a decode step."""
    fresh: set[int] = field(default_factory=set)
    decoding: set[int] = field(default_factory=set)
    paused: bool = False
    """It decodes no further until it is told to: the bound of a pause is not played."""
    copy: CopyKey | None = None
    adapters: dict[str, bool] = field(default_factory=dict)
    """In its places: whether loaded."""
    had: list[Artifact] = field(default_factory=list)
    """What the instance had whose process it took over."""
    prepared: set[str] = field(default_factory=set)
    """What its host prepared for its present start."""
    prewarmed: bool = False
    """It was taken from the warm pool, and has offloaded nothing since."""


class Machine:
    """Stores actions that are not done yet; ``outstanding`` yields what may happen next."""

    def __init__(self, cluster: ClusterSpec, policies: PolicySet) -> None:
        self.cluster = cluster
        self.now = 0
        self.controller = Controller(cluster, policies, self._memory)
        self.held: dict[tuple[str, Holding], int] = {}
        self.processes: dict[int, Process] = {}
        self.stopping: set[int] = set()
        self.templates: dict[str, str] = {}
        """By host: ``starting`` or ``ready``."""
        self.copies: dict[CopyKey, str] = {}
        self.asked: dict[CopyKey, list[int]] = {}
        """By copy: all its loadings, the latest last."""
        self.pool: Counter[CopyKey] = Counter()
        """By copy: its prewarmed processes, all of them ready."""
        self.untold: list[CopyKey] = []
        """The copies of which it was not reported that fewer are ready."""
        self.sources: dict[CopyKey, CopyKey] = {}
        """By copy: what its latest loading copied, if it copied."""
        self.loads: dict[int, act.LoadArtifact] = {}
        self.offloads: dict[int, act.OffloadArtifacts] = {}
        self.timers: dict[Timer, int] = {}
        self.waiting: dict[int, str] = {}
        self.answers: dict[int, str] = {}
        self.cancelling: set[int] = set()
        self.seen_instances: set[int] = set()
        self.ended_instances: set[int] = set()
        self.left: set[str] = set()
        """Hosts that left."""
        self.of: dict[int, str] = {}
        """By request: its function."""
        self.arrived = 0
        """The number of requests; their ids are 1 to this."""
        self.early: list[tuple[str, str]] = []
        """Host and function: the adapters that were prepared at deployment."""
        self._do: dict[type, Callable[[Any], None]] = {
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
            act.PauseDecoding: self._pause_decoding,
            act.ResumeDecoding: self._resume_decoding,
            act.CancelRequest: self._cancel_request,
            act.FailRequest: self._fail_request,
            act.SetTimer: self._set_timer,
        }

    def post(self, event: ev.Event) -> list[act.Action]:
        actions = self.controller.handle(event, self.now)
        for action in actions:
            self._do[type(action)](action)
        prefill = {each.device for each in self.processes.values() if each.batch is not None}
        paused = {each.device for each in self.processes.values() if each.paused}
        assert paused <= prefill, "for the prompts of somebody"
        return actions

    # -- the controller's actions ------------------------------------------------------------

    def _memory(self, device: str, holding: Holding, change: int) -> None:
        self.held[device, holding] = self.held.get((device, holding), 0) + change
        if device == HOST:
            return
        used = sum(amount for (name, _), amount in self.held.items() if name == device)
        assert used <= self.cluster.devices[device].memory_bytes

    def _start_template(self, action: act.StartTemplate) -> None:
        assert action.host not in self.templates
        assert action.host not in self.left
        self.templates[action.host] = "starting"

    def _start_instance(self, action: act.StartInstance) -> None:
        assert action.instance not in self.seen_instances
        host = self.cluster.devices[action.device].host
        assert host not in self.left
        assert not action.forked or self.templates[host] == "ready"
        self.seen_instances.add(action.instance)
        group = self.cluster.groups[action.group]
        process = self.processes[action.instance] = Process(group, action.device, action.forked)
        if action.takes is not None:
            process.had = self._vacated(self.processes[action.takes], action)
        elif action.forked:
            process.prewarmed = self._takes_over(CopyKey(group.backbone, action.device))

    def _takes_over(self, copy: CopyKey) -> bool:
        """Return whether a prewarmed process is there. That it was taken is reported later."""
        if not self.pool[copy]:
            return False
        self.pool[copy] -= 1
        self.untold.append(copy)
        return True

    def _vacated(self, process: Process, action: act.StartInstance) -> list[Artifact]:
        """Check that a container is idle, on the device and of another group, and return what it
        had. That it stopped is reported later."""
        assert action.takes is not None
        assert not process.fresh | process.decoding
        assert process.batch is None
        assert process.device == action.device
        assert process.group.id != action.group
        assert action.takes not in self.stopping | set(self.loads) | set(self.offloads)
        self.stopping.add(action.takes)
        return process.in_place

    def _stop_instance(self, action: act.StopInstance) -> None:
        process = self.processes[action.instance]
        assert not process.fresh
        assert not process.decoding
        assert action.instance not in self.stopping
        self.stopping.add(action.instance)

    def _load_artifact(self, action: act.LoadArtifact) -> None:
        process = self.processes[action.instance]
        assert process.up
        assert action.instance not in self.loads
        expected = next(a for a in process.group.artifacts if a not in process.in_place)
        assert action.artifact is expected
        if action.copy is not None and action.copy.shared:
            assert self.copies[action.copy] == "loaded"
            assert action.copy.device == process.device
            process.copy = action.copy
        self.loads[action.instance] = action

    def _offload_artifacts(self, action: act.OffloadArtifacts) -> None:
        process = self.processes[action.instance]
        assert process.batch is None
        assert not process.decoding, "what a running batch uses stays"
        assert action.instance not in self.stopping | set(self.loads) | set(self.offloads)
        kept = len(process.in_place) - len(action.artifacts)
        assert tuple(reversed(process.in_place[kept:])) == action.artifacts, "the last loaded first"
        assert Artifact.LIBRARIES not in action.artifacts
        self.offloads[action.instance] = action
        process.adapters.clear()
        process.prepared.clear()

    def _prepare_adapter(self, action: act.PrepareAdapter) -> None:
        group = self.cluster.group_of(action.function)
        assert group.places, "of a shared group"
        assert action.host in {device.host for device in self.cluster.devices.values()} - self.left
        if action.function not in self.waiting.values():
            assert self.cluster.settings.adapters_at_deployment_bytes
            self.early.append((action.host, action.function))
            return
        starting = self.controller.state.members(group.id).starting
        (process,) = (
            self.processes[i]
            for i in self._on(action.host)
            if i in starting
            and action.function in starting[i].prepared - self.processes[i].prepared
        )
        assert process.in_place != list(group.artifacts)
        process.prepared.add(action.function)

    def _load_adapter(self, action: act.LoadAdapter) -> None:
        process = self.processes[action.instance]
        assert process.in_place == list(process.group.artifacts)
        assert action.instance not in self.stopping
        assert action.function in process.group.functions
        assert action.function not in process.adapters
        process.adapters[action.function] = False
        assert len(process.adapters) <= process.group.places

    def _drop_adapter(self, action: act.DropAdapter) -> None:
        process = self.processes[action.instance]
        running = process.fresh | process.decoding
        assert all(self.of[request] != action.function for request in running), "an adapter in use"
        assert process.adapters.pop(action.function), "one that is loaded"

    def _copy_backbone(self, action: act.CopyBackbone) -> None:
        assert action.source in self.copies, "it is there or on its way"
        assert action.source.backbone == action.copy.backbone
        hosts = {self.cluster.devices[k.device].host for k in (action.source, action.copy)}
        assert len(hosts) == 1
        self.sources[action.copy] = action.source
        self._load_backbone(action)

    def _load_backbone(self, action: act.LoadBackbone | act.CopyBackbone) -> None:
        assert action.copy not in self.copies
        self.copies[action.copy] = "loading"
        self.asked.setdefault(action.copy, []).append(action.load)

    def _drop_backbone(self, action: act.DropBackbone) -> None:
        assert all(process.copy != action.copy for process in self.processes.values())
        self.copies.pop(action.copy, None)
        del self.pool[action.copy]

    def _run_batch(self, action: act.RunBatch) -> None:
        process = self.processes[action.instance]
        assert process.in_place == list(process.group.artifacts)
        assert process.batch is None or (process.batch == action.batch and process.waits)
        assert action.instance not in self.stopping
        assert action.requests
        for request in action.requests:
            function = self.waiting.pop(request)
            assert function in process.group.functions
            needs = process.group.places and self.cluster.functions[function].adapter_bytes
            assert not needs or process.adapters[function], "its own adapter"
        if process.batch is None:
            process.batch, process.began_ns = action.batch, self.now
            process.waits = bool(process.decoding and process.group.places)
        process.fresh |= set(action.requests)
        running = len(process.fresh) + len(process.decoding)
        assert running <= process.group.batch_limit

    def _pause_decoding(self, action: act.PauseDecoding) -> None:
        process = self.processes[action.instance]
        assert process.decoding
        assert not process.paused
        assert action.most_ns > 0
        process.paused = True

    def _resume_decoding(self, action: act.ResumeDecoding) -> None:
        assert self.processes[action.instance].paused
        self.processes[action.instance].paused = False

    def _cancel_request(self, action: act.CancelRequest) -> None:
        self.cancelling.add(action.request)

    def _fail_request(self, action: act.FailRequest) -> None:
        self.waiting.pop(action.request, None)
        for process in self.processes.values():
            process.fresh.discard(action.request)
            process.decoding.discard(action.request)
        self._answer(action.request, "shed" if action.status == 429 else "failed")

    def _set_timer(self, action: act.SetTimer) -> None:
        assert action.at_ns >= self.now
        self.timers[action.timer] = action.at_ns

    def _answer(self, request: int, how: str) -> None:
        assert request not in self.answers, "answered twice"
        self.answers[request] = how

    # -- events ----------------------------------------------------------------------------

    def arrive(self, function: str, prompt: int = 5, max_tokens: int = 5) -> int:
        self.arrived += 1
        self.waiting[self.arrived] = self.of[self.arrived] = function
        self.post(ev.RequestArrived(self.arrived, function, prompt, max_tokens))
        return self.arrived

    def cancel(self, request: int) -> None:
        if request in self.waiting:
            del self.waiting[request]
            self._answer(request, "cancelled")
        self.post(ev.RequestCancelled(request))

    def template_ready(self, host: str = HOST) -> None:
        self.templates[host] = "ready"
        self.post(ev.TemplateReady(host))

    def template_dies(self, host: str = HOST) -> None:
        """End the template and its forks, which the kernel kills with it."""
        del self.templates[host]
        self.post(ev.TemplateDied("killed", host))
        for copy in [c for c in self.pool if self.cluster.devices[c.device].host == host]:
            del self.pool[copy]
            self.untold.append(copy)
        for instance in self._on(host):
            if self.processes[instance].forked:
                self.dies(instance)

    def _on(self, host: str) -> list[int]:
        devices = self.cluster.devices
        return [i for i, p in self.processes.items() if devices[p.device].host == host]

    def host_leaves(self, host: str) -> None:
        """End everything on the host at once, without further events."""
        self.left.add(host)
        self.templates.pop(host, None)
        for instance in self._on(host):
            self.stopping.discard(instance)
            self._gone(instance)
        for copy in [c for c in self.copies if self.cluster.devices[c.device].host == host]:
            del self.copies[copy]
            del self.pool[copy]
        self.untold = [c for c in self.untold if self.cluster.devices[c.device].host != host]
        self.post(ev.HostLeft(host, "lost"))

    def host_joins(self, host: str) -> None:
        self.left.discard(host)
        devices = tuple(d for d in self.cluster.devices.values() if d.host == host)
        self.post(ev.HostJoined(devices))

    def starts(self, instance: int) -> None:
        process = self.processes[instance]
        process.up = True
        preloading = self.controller.policies.preloading
        if process.forked and preloading.template_libraries:
            process.in_place.append(Artifact.LIBRARIES)
        process.in_place += [a for a in process.had if a in preloading.kept_by_container]
        self.post(ev.InstanceStarted(instance))

    def loads_artifact(self, instance: int) -> None:
        action, process = self.loads.pop(instance), self.processes[instance]
        process.in_place.append(action.artifact)
        prewarmed = process.prewarmed and action.artifact is not Artifact.ADAPTER
        self.post(ev.ArtifactLoaded(instance, action.artifact, prewarmed))

    def loads_adapter(self, instance: int, function: str) -> None:
        self.processes[instance].adapters[function] = True
        self.post(ev.AdapterLoaded(instance, function))

    def adapter_fails(self, instance: int, function: str) -> None:
        del self.processes[instance].adapters[function]
        self.post(ev.AdapterFailed(instance, function, "not finite"))

    def loading(self) -> list[tuple[int, str]]:
        """Return the adapters that are being loaded, with their instances."""
        return [
            (instance, function)
            for instance in self.busy()
            for function, loaded in self.processes[instance].adapters.items()
            if not loaded
        ]

    def offloads_artifacts(self, instance: int) -> None:
        process, action = self.processes[instance], self.offloads.pop(instance)
        del process.in_place[-len(action.artifacts) :]
        process.prewarmed = False
        if Artifact.BACKBONE in action.artifacts:
            process.copy = None
        self.post(ev.ArtifactsOffloaded(instance))

    def backbone_loads(self, copy: CopyKey) -> None:
        self.copies[copy] = "loaded"
        self.post(ev.BackboneLoaded(copy, self.asked[copy][-1]))

    def prewarms(self, copy: CopyKey, took_ns: int = 0) -> None:
        """Make a prewarmed process of a copy that is loaded."""
        assert self.copies[copy] == "loaded"
        self.pool[copy] += 1
        self.post(ev.PrewarmedReady(copy, self.pool[copy], took_ns))

    def tells_of_the_pool(self, copy: CopyKey) -> None:
        """Report that fewer prewarmed processes are ready."""
        self.untold.remove(copy)
        self.post(ev.PrewarmedReady(copy, self.pool[copy]))

    def backbone_fails(self, copy: CopyKey) -> None:
        del self.copies[copy]
        self.post(ev.BackboneFailed(copy, self.asked[copy][-1], "corrupt"))

    def begins(self, instance: int) -> None:
        """End the decode step that the batch waits for."""
        process = self.processes[instance]
        assert process.batch is not None
        process.waits = False
        self.post(ev.BatchBegun(instance, process.batch))

    def prefills(self, instance: int, computed_ns: int | None = None) -> None:
        """End a prefill, of which ``computed_ns`` went into prompts; None: all of it."""
        process = self.processes[instance]
        batch, process.batch = process.batch, None
        process.decoding |= process.fresh
        process.fresh = set()
        assert batch is not None
        process.waits = False
        took_ns = self.now - process.began_ns
        self.post(
            ev.BatchPrefilled(instance, batch, took_ns if computed_ns is None else computed_ns)
        )

    def finishes(self, instance: int) -> None:
        process = self.processes[instance]
        request = min(process.decoding)
        process.decoding.discard(request)
        self._answer(request, "ok")
        self.post(ev.RequestFinished(instance, request))

    def running(self, instance: int) -> set[int]:
        return self.processes[instance].fresh | self.processes[instance].decoding

    def lets_go(self, request: int) -> None:
        """Make the instance that runs a cancelled request release it."""
        (instance,) = (i for i in self.processes if request in self.running(i))
        self.processes[instance].fresh.discard(request)
        self.processes[instance].decoding.discard(request)
        self._answer(request, "cancelled")
        self.post(ev.RequestFinished(instance, request))

    # -- events to be ignored ------------------------------------------------------------------

    def forgeries(self) -> list[ev.Event]:
        """Return the events that instances or loaders could send without having been asked."""
        found: list[ev.Event] = []
        for instance in [*self.processes, -1]:
            found += self._forged_by(instance)
        for copy, loads in self.asked.items():
            current = loads[-1] if copy in self.copies else None
            for load in {*loads, loads[-1] + 1} - {current}:
                found += [ev.BackboneLoaded(copy, load), ev.BackboneFailed(copy, load, "no")]
            if self.copies.get(copy) == "loaded":
                found.append(ev.BackboneLoaded(copy, loads[-1]))
            else:
                found.append(ev.PrewarmedReady(copy, 1, 70))
            found.append(ev.PrewarmedReady(copy._replace(instance=7), 1, 70))
        return found

    def _forged_by(self, instance: int) -> list[ev.Event]:
        process = self.processes.get(instance, Process(NOBODY, "", forked=False, up=True))
        done = process.decoding | (process.fresh & self.cancelling)
        asked = self.loads[instance].artifact if instance in self.loads else None
        found: list[ev.Event] = [
            ev.RequestFinished(instance, request)
            for request in range(1, self.arrived + 1)
            if request not in done
        ]
        found += [ev.ArtifactLoaded(instance, a) for a in PRECEDENCE if a is not asked]
        others = [batch for batch in (0, 1, 2, 3) if batch != process.batch]
        found += [ev.BatchPrefilled(instance, batch, 1) for batch in others]
        found += [ev.BatchBegun(instance, batch) for batch in others]
        for function in self.cluster.functions:
            if process.adapters.get(function, True):
                found += [ev.AdapterLoaded(instance, function)]
                found += [ev.AdapterFailed(instance, function, "no")]
        if process.up:
            found.append(ev.InstanceStarted(instance))
        if instance not in self.offloads:
            found.append(ev.ArtifactsOffloaded(instance))
        return found

    def disbelieves(self, said: list[ev.Event]) -> None:
        before = self._known()
        for event in said:
            assert self.post(event) == [], event
        assert self._known() == before

    def _known(self) -> str:
        state = self.controller.state
        devices = [
            (d.memory.used, [*d.waiting], [*d.starved], [*d.blocked], d.prefilling, d.leaving_bytes)
            for d in state.devices.values()
        ]
        learnt = [state.estimates(group).delay_ns for group in state.cluster.groups]
        kept = (state.instances, state.requests, state.queues, state.copies, state.hosts)
        there = (*kept, state.prewarmed)
        return repr((there, devices, learnt))

    def _gone(self, instance: int) -> None:
        del self.processes[instance]
        self.loads.pop(instance, None)
        self.offloads.pop(instance, None)
        self.ended_instances.add(instance)

    def stops(self, instance: int) -> None:
        self.stopping.discard(instance)
        self._gone(instance)
        self.post(ev.InstanceStopped(instance))

    def dies(self, instance: int) -> None:
        self.stopping.discard(instance)
        self._gone(instance)
        self.post(ev.ProcessDied(instance, "killed by SIGKILL"))

    def fires(self, timer: Timer) -> None:
        self.now = max(self.now, self.timers.pop(timer))
        self.post(ev.TimerFired(timer))

    def busy(self) -> list[int]:
        return [i for i in self.processes if i not in self.stopping]

    def outstanding(self) -> Iterator[Callable[[], None]]:
        """Yield the requested actions that may be done next, except timers."""
        for host, state in self.templates.items():
            if state == "starting":
                yield partial(self.template_ready, host)
        for instance, process in self.processes.items():
            if instance in self.stopping:
                yield partial(self.stops, instance)
            elif not process.up:
                yield partial(self.starts, instance)
            elif instance in self.loads:
                yield partial(self.loads_artifact, instance)
            elif instance in self.offloads:
                yield partial(self.offloads_artifacts, instance)
            elif not all(process.adapters.values()):
                function = next(f for f, loaded in process.adapters.items() if not loaded)
                yield partial(self.loads_adapter, instance, function)
            elif process.waits:
                yield partial(self.begins, instance)
            elif process.batch is not None:
                yield partial(self.prefills, instance)
            elif process.decoding and not process.paused:
                yield partial(self.finishes, instance)
        for copy, state in self.copies.items():
            if state == "loading":
                yield partial(self.backbone_loads, copy)
        for copy in self.untold:
            yield partial(self.tells_of_the_pool, copy)

    def step(self) -> bool:
        """Do the first requested action, except timers; return False if none is left."""
        first = next(self.outstanding(), None)
        if first is not None:
            first()
        return first is not None

    def settle(self) -> None:
        """Do all requested actions; no time passes."""
        for _ in range(100_000):
            if self.step():
                continue
            held = [t for t in self.timers if isinstance(t, str)]
            if not held:
                return
            self.fires(held[0])
        raise AssertionError("it never settles")
