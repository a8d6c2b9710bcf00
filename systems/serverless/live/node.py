"""Carries out the controller's actions on this machine and reports the results as events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from systems.interface import Stage
from systems.runtime import processor
from systems.runtime.cards import Cards, memory_by_process
from systems.runtime.children import GRACE_S, Child, kill, why
from systems.runtime.liveness import LivenessMonitor, Monitored
from systems.runtime.messages import Failed, Message, Started, Stop
from systems.runtime.processes import OnExit, OnMessage, Processes
from systems.runtime.processor import Metered
from systems.runtime.stages import Timeline

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import Artifact, CopyKey
from . import messages as m
from . import roles
from .adapters.messages import ParseAdapter
from .adapters.requests import parse_request
from .adapters.tier import AdapterTier, unusable
from .device_watch import DeviceWatch, Held, most_bytes
from .nodes import DeviceWork, Provisioned
from .plan import Plan
from .prewarmed import PrewarmedProcesses
from .takeover import take_over
from .weights import mappings
from .weights.auditing import Audit, Audits
from .weights.copies import SharedCopies
from .weights.handle import SharedWeightsHandle


@dataclass(slots=True, eq=False)
class LiveInstance:
    """The node's state of one instance: its process, and the stages of its provisioning."""

    id: int
    group: str
    device: str
    copy: CopyKey | None = None
    child: Child | None = None
    timeline: Timeline = field(default_factory=Timeline.empty)
    metered_from: tuple[int, int] | None = None
    """When it was first told to load an artifact of its function, and the processor time that its
    process had used until then. Later processor time counts for the function."""
    adapters: dict[str, Timeline] = field(default_factory=dict)
    """By function: the stages of the adapters that it holds in places or waits for."""
    prewarmed: bool = False
    """Whether its process has had its engine since it was prewarmed."""
    giving_back: frozenset[Artifact] = frozenset()
    stopping: bool = False
    offloading: asyncio.TimerHandle | None = None
    """Timeout for releasing the offloaded artifacts."""
    reason: str = ""

    def offloaded(self) -> None:
        if self.offloading is not None:
            self.offloading.cancel()
            self.offloading = None


class Node:
    """Processes and memory files of one machine, and its ``cards``. It calls ``post`` with each
    event, ``on_tokens`` with an instance's id and tokens, ``on_isolation_gap`` with each such gap,
    ``on_audit`` with each audit of a shared copy, ``on_metered`` with the id of an instance and its
    processor time so far, and ``on_problem`` with each failure that no client sees."""

    def __init__(
        self,
        plan: Plan,
        cards: Cards,
        post: Callable[[ev.Event], None],
        on_tokens: Callable[[int, m.Progress], None],
        on_isolation_gap: Callable[[str], None],
        on_audit: Callable[[Audit], None],
        on_metered: Callable[[int, Metered], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self.instances: dict[int, LiveInstance] = {}
        self._plan, self._cards = plan, cards
        self._post = post
        self._on_tokens = on_tokens
        self._processes = Processes(plan.device, roles.TEMPLATE)
        self._shared = SharedCopies(
            plan, self._processes, cards, self._of_a_copy, on_isolation_gap, on_problem
        )
        self.copies = self._shared.held
        later = asyncio.get_running_loop().call_later
        self._prewarmed = PrewarmedProcesses(
            plan, cards, self.copies, self._fork_prewarmed, kill, later
        )
        self.adapters = AdapterTier(
            self._parse_request,
            partial(self._processes.begin, roles.PARSER),
            plan.options.adapter_tier_bytes,
            self._tier_resized,
        )
        self.threads: int | None = None
        self._watch = LivenessMonitor(self._children, self._give_up)
        self._device_watch = DeviceWatch(self._on_cards, memory_by_process, self._give_up)
        self._on_metered = on_metered
        self._on_problem = on_problem
        every_s = plan.options.audit_s
        self._audits = every_s and Audits(
            every_s, self.copies, self._shared.start_auditor, on_audit
        )
        self.do: dict[type, Callable[[Any], None]] = {
            act.StartTemplate: self._start_template,
            act.StartInstance: self._start_instance,
            act.StopInstance: self._stop_instance,
            act.LoadArtifact: self._load_artifact,
            act.OffloadArtifacts: self._offload_artifacts,
            act.PrepareAdapter: lambda action: self.adapters.prepare(action.function),
            act.LoadAdapter: self._load_adapter,
            act.DropAdapter: self._drop_adapter,
            act.LoadBackbone: self._shared.load,
            act.CopyBackbone: self._shared.copy,
            act.DropBackbone: self._drop_backbone,
            DeviceWork: self._device_work,
        }

    # -- processes that the liveness monitor gives up ---------------------------------------

    def _children(self) -> list[Child]:
        found = [live.child for live in self.instances.values() if live.child]
        found += self._shared.working
        found += self.adapters.children
        found += self._prewarmed.children
        template = self._processes.template
        return found if template is None else [*found, template]

    def _on_cards(self) -> Iterator[Held]:
        """Return the instances on GPUs."""
        for live in self.instances.values():
            card = self._cards.uuid(live.device)
            if card and live.child is not None:
                yield Held(live.child, card, most_bytes(self._plan, live.group))

    def _give_up(self, child: Monitored, reason: str) -> None:
        assert isinstance(child, Child)
        child.verdict = reason
        kill(child)

    def _parse_request(self, function: str) -> ParseAdapter:
        shape = self._plan.places_shapes[self._plan.cluster.functions[function].group]
        return parse_request(self._plan, function, shape)

    def _tier_resized(self, nbytes: int) -> None:
        """Report the host tier on a node with GPUs: its pages are mapped by no process, so no
        measurement of processes has them. On cores instances map these pages as their places, whose
        bytes the device counts already; counting them here too would count them twice."""
        if self._plan.device != "cpu":
            self._post(ev.AdapterTierResized(nbytes))

    # -- the template -----------------------------------------------------------------------

    def _start_template(self, action: act.StartTemplate) -> None:  # noqa: ARG002
        try:
            self._processes.start_template(
                self._template_ready,
                lambda reason: self._post(ev.TemplateDied(reason)),
            )
        except OSError as error:
            self._post(ev.TemplateDied(str(error)))

    def _template_ready(self) -> None:
        self._shared.standby.fill()
        self._post(ev.TemplateReady())

    # -- instances --------------------------------------------------------------------------

    def _start_instance(self, action: act.StartInstance) -> None:
        instance = LiveInstance(action.instance, action.group, action.device)
        self.instances[instance.id] = instance
        instance.timeline.begin(Stage.WARMING, time.monotonic_ns())
        try:
            instance.child = (
                self._take_container(instance, action)
                or self._take_prewarmed(instance, action)
                or self._begin(instance, action)
            )
        except OSError as error:
            instance.reason = str(error)
            self._instance_ended(instance, None)
            return
        instance.child.channel.send(self._configuration(instance))

    def _configuration(self, instance: LiveInstance) -> m.Configure:
        told = self._plan.configuration(instance.group)
        return replace(told, card=self._cards.uuid(instance.device))

    def _begin(self, instance: LiveInstance, action: act.StartInstance) -> Child:
        start = self._processes.fork if action.forked else self._processes.spawn
        return start(
            roles.INSTANCE,
            partial(self._instance_says, instance),
            partial(self._instance_ended, instance),
            self._cards.uuid(instance.device),
        )

    def _take_container(self, instance: LiveInstance, action: act.StartInstance) -> Child | None:
        """Turn the process of an idle instance of another function into this one's. It releases
        what it has before it starts; None if there is none, or it has ended."""
        old = None if action.takes is None else self.instances.pop(action.takes, None)
        if old is None or old.child is None:
            return None
        self._meter(old)
        self._post(ev.InstanceStopped(old.id))
        instance.timeline = Timeline.empty()  # its process was there: no warming
        old.child.on_message = partial(self._instance_says, instance)
        old.child.on_exit = partial(self._instance_ended, instance)
        for message in (m.Vacate(), m.Begin()):
            old.child.channel.send(message)
        return old.child

    def _take_prewarmed(self, instance: LiveInstance, action: act.StartInstance) -> Child | None:
        """Turn a prewarmed process into the instance; it sends ``Started`` a second time."""
        backbone = self._plan.cluster.groups[action.group].backbone
        prewarmed_process = self._prewarmed.take(backbone, action.device) if action.forked else None
        if prewarmed_process is None:
            return None
        instance.prewarmed = True
        instance.timeline = prewarmed_process.timeline
        instance.timeline.begin(Stage.WARMING, time.monotonic_ns())
        child = prewarmed_process.become(
            partial(self._instance_says, instance), partial(self._instance_ended, instance)
        )
        child.channel.send(m.Begin())
        return child

    def _take_over(self, instance: LiveInstance) -> None:
        """Let a ready prewarmed process, if there is one, become an instance that has no engine."""
        key = instance.copy
        if instance.prewarmed or key is None:
            return
        prewarmed_process = self._prewarmed.replace(instance.group, key)
        if prewarmed_process is not None:
            instance.prewarmed = True
            take_over(
                instance,
                prewarmed_process,
                self._configuration(instance),
                partial(self._instance_says, instance),
                partial(self._instance_ended, instance),
                partial(self._replaced_ended, key),
            )

    def _replaced_ended(self, key: CopyKey) -> None:
        self._prewarmed.replaced_ended(key)
        self._prewarmed.refill(key)

    def _of_a_copy(self, event: ev.Event) -> None:
        """Post an event of a shared copy. Start its prewarmed processes now if it was loaded for no
        instance, at deployment."""
        self._post(event)
        if isinstance(event, ev.BackboneLoaded) and not any(
            live.copy in (None, event.copy) for live in self.instances.values()
        ):
            self._prewarmed.refill(event.copy)

    @property
    def settled(self) -> bool:
        return self._prewarmed.settled and self._shared.standby.settled

    def _refill_prewarmed(self, instance: LiveInstance) -> None:
        """Start prewarmed processes once the instance is ready; earlier they would slow it."""
        if instance.copy is not None:
            self._prewarmed.refill(instance.copy)

    def _fork_prewarmed(self, device: str, on_message: OnMessage, on_exit: OnExit) -> Child:
        if self._processes.template is None:
            raise OSError("the template has ended")
        card = self._cards.uuid(device)
        return self._processes.fork(roles.INSTANCE, on_message, on_exit, card)

    def _device_work(self, work: DeviceWork) -> None:
        self._prewarmed.device_work(work)
        for live in self.instances.values():
            if live.copy is not None and live.copy.device == work.device:
                self.send(live.id, m.AllowPreparation(not work.busy))

    def _instance_says(self, instance: LiveInstance, message: Message, fds: list[int]) -> None:  # noqa: ARG002
        now = time.monotonic_ns()
        match message:
            case Started():
                instance.timeline.end(Stage.WARMING, now)
                self._post(ev.InstanceStarted(instance.id))
            case m.ArtifactLoaded(artifact=artifact):
                instance.timeline.end(Stage(artifact.value), now)
                self._post(ev.ArtifactLoaded(instance.id, artifact))
                if artifact is Artifact.KERNELS:
                    self._refill_prewarmed(instance)
            case m.AdapterHeld(function=function):
                if function in instance.adapters:
                    instance.adapters[function].end(Stage.ADAPTER, now)
                    self._post(ev.AdapterLoaded(instance.id, function))
            case m.AdapterRefused(function=function, reason=reason):
                self._adapter_refused(instance, function, unusable(function, reason))
            case m.Offloaded():
                instance.offloaded()
                self._offloaded(instance)
            case Failed(reason=reason):
                instance.reason = reason
            case m.Prefilled() | m.Decoded() | m.Cancelled():
                self._on_tokens(instance.id, message)

    def _offloaded(self, instance: LiveInstance) -> None:
        """Report the memory as free. Kill an instance that still maps the shared copy."""
        copy = self.copies.get(instance.copy) if instance.copy is not None else None
        fd = copy.weights_handle.fd if copy and self._plan.device == "cpu" else None
        pid = instance.child.pid if instance.child else None
        given = Artifact.BACKBONE in instance.giving_back
        if given and fd is not None and pid is not None and mappings.holds(pid, fd):
            self._distrust(instance, "reported that it released its backbone, but still maps it")
        else:
            self._post(ev.ArtifactsOffloaded(instance.id))

    def _distrust(self, instance: LiveInstance, verdict: str) -> None:
        """Kill an instance and ignore all further messages from it."""
        assert instance.child is not None
        self._on_problem(f"{instance.group}: its instance {verdict}; it was ended")
        instance.child.verdict = verdict
        instance.child.on_message = lambda message, fds: None  # noqa: ARG005
        kill(instance.child)

    def _meter(self, instance: LiveInstance) -> None:
        """Report the processor time that counts for the instance's function."""
        child = instance.child
        if child is None or child.pid is None or instance.metered_from is None:
            return
        used_ns = child.used_ns if child.ended else processor.used_ns(child.pid)
        if used_ns is not None:
            since_ns, before_ns = instance.metered_from
            metered = Metered(since_ns, time.monotonic_ns(), max(0, used_ns - before_ns))
            self._on_metered(instance.id, metered)

    def _instance_ended(self, instance: LiveInstance, returncode: int | None) -> None:
        self._meter(instance)
        del self.instances[instance.id]
        instance.offloaded()
        if instance.stopping:
            self._post(ev.InstanceStopped(instance.id))
        else:
            verdict = instance.child.verdict if instance.child else ""
            reason = instance.reason or verdict or why(returncode)
            self._post(ev.ProcessDied(instance.id, reason))

    def _stop_instance(self, action: act.StopInstance) -> None:
        instance = self.instances.get(action.instance)
        if instance is None or instance.child is None:
            return
        instance.stopping = True
        instance.child.channel.send(Stop())
        asyncio.get_running_loop().call_later(GRACE_S, kill, instance.child)

    def _load_artifact(self, action: act.LoadArtifact) -> None:
        instance = self.instances.get(action.instance)
        if instance is None or instance.child is None:
            return
        if action.artifact is Artifact.KERNELS:
            self._take_over(instance)
        instance.timeline.begin(Stage(action.artifact.value), time.monotonic_ns())
        if instance.metered_from is None and action.artifact is not Artifact.LIBRARIES:
            before_ns = processor.used_ns(instance.child.pid) if instance.child.pid else 0
            instance.metered_from = time.monotonic_ns(), before_ns or 0
        layout, weights_handle = None, SharedWeightsHandle()
        if action.copy is not None:
            instance.copy = action.copy
            layout = self._plan.layout(action.copy.backbone)
            if action.copy.shared:
                weights_handle = self.copies[action.copy].weights_handle
        told = m.LoadArtifact(action.artifact, layout, weights_handle.handle)
        if action.artifact is Artifact.KERNELS and instance.copy is not None:
            self._prewarmed.tell_preparation(instance.child, instance.copy.device)
        instance.child.channel.send(told, weights_handle.fds)

    # -- adapters in places -----------------------------------------------------------------

    def _load_adapter(self, action: act.LoadAdapter) -> None:
        """Hand the adapter to the instance as soon as the host tier has it."""
        live = self.instances.get(action.instance)
        if live is not None:
            timeline = live.adapters[action.function] = Timeline.empty()
            timeline.begin(Stage.ADAPTER, time.monotonic_ns())
            wanted = partial(self._still_wanted, live, action.function, timeline)
            self.adapters.get(
                action.function,
                partial(self._hand_over, live, action.function, wanted),
                partial(self._adapter_failed, live, action.function, wanted),
            )

    def _still_wanted(self, live: LiveInstance, function: str, timeline: Timeline) -> bool:
        """Return whether the instance still waits for the adapter, and this is its last request."""
        there = self.instances.get(live.id) is live
        return there and live.adapters.get(function) is timeline

    def _hand_over(
        self, live: LiveInstance, function: str, wanted: Callable[[], bool], fd: int, nbytes: int
    ) -> None:
        if wanted() and live.child is not None:
            live.child.channel.send(m.HoldAdapter(function, nbytes), [fd])

    def _adapter_failed(
        self, live: LiveInstance, function: str, wanted: Callable[[], bool], reason: str
    ) -> None:
        if wanted():
            self._adapter_refused(live, function, reason)

    def _adapter_refused(self, live: LiveInstance, function: str, reason: str) -> None:
        if live.adapters.pop(function, None) is not None:
            self._post(ev.AdapterFailed(live.id, function, reason))

    def _drop_adapter(self, action: act.DropAdapter) -> None:
        live = self.instances.get(action.instance)
        if live is not None and live.adapters.pop(action.function, None) is not None:
            self.send(action.instance, m.DropAdapter(action.function))

    def _offload_artifacts(self, action: act.OffloadArtifacts) -> None:
        self.send(action.instance, m.OffloadArtifacts(tuple(action.artifacts)))
        live = self.instances.get(action.instance)
        if live is not None:
            live.adapters.clear()
            live.giving_back, live.prewarmed = frozenset(action.artifacts), False
            grace_s = self._plan.options.release_grace_s
            live.offloading = asyncio.get_running_loop().call_later(grace_s, self._overdue, live)

    def _overdue(self, live: LiveInstance) -> None:
        """Kill an instance that did not release its artifacts: others wait for that memory."""
        if live.child is not None:
            live.child.verdict = "it kept artifacts that it was told to give back"
            kill(live.child)

    def send(self, instance: int, message: Message) -> None:
        """Send a message to an instance; drop it if the instance has ended."""
        live = self.instances.get(instance)
        if live is not None and live.child is not None:
            live.child.channel.send(message)

    def provisioned(self, instance: int, function: str | None = None) -> Provisioned:
        """Return the stages of the template, the shared copy, the instance itself and, in a place
        of it, the adapter of ``function``."""
        live = self.instances.get(instance)
        if live is None:
            return Provisioned()
        copy = self.copies.get(live.copy) if live.copy is not None else None
        spans = (
            *self._processes.template_timeline.spans,
            *(copy.timeline.spans if copy else ()),
            *live.timeline.spans,
            *(live.adapters[function].spans if function in live.adapters else ()),
        )
        return Provisioned(spans, live.timeline.ended_ns(Stage.WARMING))

    def _drop_backbone(self, action: act.DropBackbone) -> None:
        self._prewarmed.drop(action.copy)
        self._shared.close(action.copy)

    # -- the end ----------------------------------------------------------------------------

    async def close(self) -> None:
        """Kill every process, forks before the template that reaps them."""
        self._watch.close()
        self._device_watch.close()
        self._prewarmed.close()
        self._shared.standby.close()
        if self._audits:
            self._audits.close()
        for live in self.instances.values():
            self._meter(live)
        children = [live.child for live in self.instances.values() if live.child]
        children += self._shared.children
        children += self.adapters.children
        self.adapters.close()
        children += self._processes.forked
        if self._processes.template is not None:
            children.append(self._processes.template)
        for child in children:
            kill(child)
        deadline = time.monotonic() + GRACE_S
        while not all(child.ended for child in children) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        for key in list(self.copies):
            self._shared.close(key)
