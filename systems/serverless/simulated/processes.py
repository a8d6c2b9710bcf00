"""The processes of instances in virtual time: started, taken over, put to sleep, stopped."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from systems.interface import Stage
from systems.simulation.worker import Worker

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import DORMANT, PARKED, Artifact
from ..core.cluster_spec import GroupSpec
from .machine import Machine
from .prewarmed import PrewarmedProcess, PrewarmedProcesses
from .running import Process

MakeWorker = Callable[[int, str, GroupSpec], Worker]
"""Makes the worker of an instance, on a device, for a group."""


class Processes:
    """Starts and ends the processes of instances, which it keeps in ``running`` by id."""

    def __init__(
        self,
        machine: Machine,
        prewarmed: PrewarmedProcesses,
        running: dict[int, Process],
        make_worker: MakeWorker,
    ) -> None:
        self._machine, self._prewarmed = machine, prewarmed
        self._running, self._make_worker = running, make_worker

    def start(self, action: act.StartInstance) -> None:
        machine, group = self._machine, self._machine.cluster.groups[action.group]
        worker = self._make_worker(action.instance, action.device, group)
        process = Process(action.instance, action.device, machine.latency[group.id], group, worker)
        self._running[process.id] = process
        if action.takes is not None:
            self._take_container(process, action.takes)
            return
        if action.forked and self._take_prewarmed(process):
            return
        process.timeline.begin(Stage.WARMING, machine.clock.now)
        profile = machine.profile
        number, what = (profile.fork_s, "fork") if action.forked else (profile.process_s, "process")
        work_ns = machine.draws.ns(number, what, process.drawn_for)
        machine.hardware[process.device].cores.start(work_ns, partial(self._started, process))

    def _take_container(self, process: Process, before: int) -> None:
        """Let ``process`` go on in that of an instance, which releases its artifacts first."""
        machine, old = self._machine, self._running.pop(before)
        old.worker.drop_engine()
        machine.post(ev.InstanceStopped(before))
        machine.after(machine.profile.offload_s.value, partial(self._vacated, process))

    def _vacated(self, process: Process) -> None:
        if process.id in self._running and not process.stopping:
            self._machine.post(ev.InstanceStarted(process.id))

    def _take_prewarmed(self, process: Process) -> bool:
        """Use a prewarmed process for ``process``; return whether there was one."""
        prewarmed = self._prewarmed.take(process.group.backbone, process.device)
        if prewarmed is None:
            return False
        process.prewarmed_process, process.timeline = True, prewarmed.timeline
        process.timeline.begin(Stage.WARMING, self._machine.clock.now)
        prewarmed.become(partial(self._became, process, prewarmed))
        return True

    def _became(self, process: Process, prewarmed: PrewarmedProcess) -> None:
        process.worker.preparer = prewarmed.preparer
        started = partial(self._started, process)
        process.worker.interrupt(partial(self._machine.after, 0, started))

    def _started(self, process: Process) -> None:
        if process.id in self._running and not process.stopping:
            process.up_ns = self._machine.clock.now
            process.timeline.end(Stage.WARMING, self._machine.clock.now)
            self._machine.post(ev.InstanceStarted(process.id))

    def offload(self, action: act.OffloadArtifacts) -> None:
        process, machine = self._running[action.instance], self._machine
        process.drop_adapters()
        process.worker.drop_engine()
        backbone = Artifact.BACKBONE in action.artifacts
        process.residency = DORMANT if backbone else PARKED
        machine.after(machine.profile.offload_s.value, partial(self._offloaded, process))

    def _offloaded(self, process: Process) -> None:
        if process.id in self._running and not process.stopping:
            self._machine.post(ev.ArtifactsOffloaded(process.id))

    def stop(self, action: act.StopInstance) -> None:
        process, machine = self._running[action.instance], self._machine
        process.stopping = True
        process.worker.drop_engine()
        process.drop_adapters()
        machine.after(machine.profile.stop_s.value, partial(self._stopped, process))

    def _stopped(self, process: Process) -> None:
        del self._running[process.id]
        self._machine.post(ev.InstanceStopped(process.id))
