"""Carries out the controller's actions on this machine and reports the results as events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from systems.interface import Stage
from systems.runtime.cards import Cards, memory_by_process
from systems.runtime.children import GRACE_S, Child, kill
from systems.runtime.liveness import LivenessMonitor, Monitored
from systems.runtime.messages import Message
from systems.runtime.processes import OnExit, OnMessage, Processes

from ..core import actions as act
from ..core import events as ev
from . import roles
from .adapters.messages import ParseAdapter
from .adapters.places import AdapterPlaces
from .adapters.requests import parse_request
from .adapters.tier import AdapterTier
from .device_watch import DeviceWatch, Held, most_bytes
from .instance_processes import InstanceProcesses
from .lifecycle import InstanceLifecycle
from .live_instance import LiveInstance
from .messages import AllowPreparation
from .nodes import DeviceWork, Provisioned, Reports
from .plan import Plan
from .prewarmed import PrewarmedProcesses
from .weights.auditing import Audits
from .weights.copies import SharedCopies


class Node:
    """Processes and memory files of one machine, and its ``cards``."""

    def __init__(self, plan: Plan, cards: Cards, reports: Reports) -> None:
        self.instances: dict[int, LiveInstance] = {}
        self.threads: int | None = None
        self._plan, self._cards, self._reports = plan, cards, reports
        self._processes = Processes(plan.device, roles.TEMPLATE)
        self._shared = SharedCopies(plan, self._processes, cards, self._of_a_copy, reports)
        self.copies = self._shared.held
        later = asyncio.get_running_loop().call_later
        self._prewarmed = PrewarmedProcesses(
            plan, cards, self.copies, self._fork_prewarmed, kill, later, reports.event
        )
        self.adapters = AdapterTier(
            self._parse_request,
            partial(self._processes.begin, roles.PARSER),
            plan.options.adapter_tier_bytes,
            self._tier_resized,
        )
        self._places = AdapterPlaces(self.instances, self.adapters, reports.event)
        self._lifecycle = InstanceLifecycle(
            plan,
            self.instances,
            self.copies,
            InstanceProcesses(plan, cards, self._processes, self._prewarmed),
            self._prewarmed,
            self._places,
            reports,
        )
        self._watch = LivenessMonitor(self._children, self._give_up)
        self._device_watch = DeviceWatch(self._on_cards, memory_by_process, self._give_up)
        every_s = plan.options.audit_s
        self._audits = every_s and Audits(
            every_s, self.copies, self._shared.start_auditor, reports.audit
        )
        self.do = self._handlers()

    def _handlers(self) -> dict[type, Callable[[Any], None]]:
        return {
            act.StartTemplate: self._start_template,
            act.StartInstance: self._lifecycle.start,
            act.StopInstance: self._lifecycle.stop,
            act.LoadArtifact: self._lifecycle.load,
            act.OffloadArtifacts: self._lifecycle.offload,
            act.PrepareAdapter: lambda action: self.adapters.prepare(action.function),
            act.LoadAdapter: self._places.load,
            act.DropAdapter: self._places.drop,
            act.LoadBackbone: self._shared.load,
            act.CopyBackbone: self._shared.copy,
            act.DropBackbone: self._drop_backbone,
            DeviceWork: self._device_work,
        }

    # -- processes that the monitors give up ------------------------------------------------

    def _children(self) -> list[Child]:
        found = self._instance_children()
        found += self._shared.working
        found += self.adapters.children
        found += self._prewarmed.children
        template = self._processes.template
        return found if template is None else [*found, template]

    def _instance_children(self) -> list[Child]:
        return [live.child for live in self.instances.values() if live.child]

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

    # -- the host tier of adapters ----------------------------------------------------------

    def _parse_request(self, function: str) -> ParseAdapter:
        shape = self._plan.places_shapes[self._plan.cluster.functions[function].group]
        return parse_request(self._plan, function, shape)

    def _tier_resized(self, nbytes: int) -> None:
        """Report the host tier on a node with GPUs: its pages are mapped by no process, so no
        measurement of processes has them. On cores instances map these pages as their places, whose
        bytes the device counts already; counting them here too would count them twice."""
        if self._plan.device != "cpu":
            self._reports.event(ev.AdapterTierResized(nbytes))

    # -- the template and the processes made ahead of instances -----------------------------

    def _start_template(self, action: act.StartTemplate) -> None:  # noqa: ARG002
        try:
            self._processes.start_template(
                self._template_ready,
                lambda reason: self._reports.event(ev.TemplateDied(reason)),
            )
        except OSError as error:
            self._reports.event(ev.TemplateDied(str(error)))

    def _template_ready(self) -> None:
        self._shared.standby.fill()
        self._reports.event(ev.TemplateReady())

    @property
    def settled(self) -> bool:
        return self._prewarmed.settled and self._shared.standby.settled

    def _fork_prewarmed(self, device: str, on_message: OnMessage, on_exit: OnExit) -> Child:
        card = self._cards.uuid(device)
        return self._processes.fork(roles.INSTANCE, on_message, on_exit, card)

    def _device_work(self, work: DeviceWork) -> None:
        self._prewarmed.device_work(work)
        for live in self.instances.values():
            if live.copy is not None and live.copy.device == work.device:
                live.send(AllowPreparation(not work.busy))

    # -- shared copies ----------------------------------------------------------------------

    def _of_a_copy(self, event: ev.Event) -> None:
        """Report an event of a shared copy. Start its prewarmed processes now if it was loaded for
        no instance, at deployment; end them if it failed, since they map it."""
        self._reports.event(event)
        if isinstance(event, ev.BackboneFailed):
            self._prewarmed.drop(event.copy)
        elif isinstance(event, ev.BackboneLoaded) and not any(
            live.copy in (None, event.copy) for live in self.instances.values()
        ):
            self._prewarmed.refill(event.copy)

    def _drop_backbone(self, action: act.DropBackbone) -> None:
        self._prewarmed.drop(action.copy)
        self._shared.close(action.copy)

    # -- requests ---------------------------------------------------------------------------

    def send(self, instance: int, message: Message) -> None:
        """Send a message to an instance; drop it if the instance has ended."""
        live = self.instances.get(instance)
        if live is not None:
            live.send(message)

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
            self._lifecycle.meter(live)
        children = [*self._instance_children(), *self._shared.children, *self.adapters.children]
        self.adapters.close()
        children += self._processes.forked
        if self._processes.template is not None:
            children.append(self._processes.template)
        await _end(children)
        for key in list(self.copies):
            self._shared.close(key)


async def _end(children: list[Child]) -> None:
    """Kill processes and wait until they have ended, at most ``GRACE_S``."""
    for child in children:
        kill(child)
    deadline = time.monotonic() + GRACE_S
    while not all(child.ended for child in children) and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
