"""The artifacts of instances in virtual time: how each is loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from systems.interface import Stage

from ..core import actions as act
from ..core import events as ev
from ..core.artifacts import DORMANT, PARKED, Artifact, CopyKey
from .engines import Engines
from .machine import Machine
from .prewarmed import PrewarmedProcesses
from .running import Process

Then = Callable[[], None]


class ArtifactLoading:
    """``processes``: the instances, by id. ``copies``: the shared copies of backbones."""

    def __init__(
        self,
        machine: Machine,
        processes: dict[int, Process],
        engines: Engines,
        prewarmed: PrewarmedProcesses,
        copies: Collection[CopyKey],
    ) -> None:
        self._machine, self._processes, self._engines = machine, processes, engines
        self._prewarmed, self._copies = prewarmed, copies
        self._load: dict[Artifact, Callable[[Process, Then], None]] = {
            Artifact.LIBRARIES: self._libraries,
            Artifact.BACKBONE: self._backbone,
            Artifact.ADAPTER: self._adapter,
            Artifact.KERNELS: self._kernels,
        }

    def load(self, action: act.LoadArtifact) -> None:
        process, artifact = self._processes[action.instance], action.artifact
        process.timeline.begin(Stage(artifact.value), self._machine.clock.now)
        if artifact is Artifact.BACKBONE:
            process.copy = action.copy
        self._load[artifact](process, partial(self._loaded, process, artifact))

    def _loaded(self, process: Process, artifact: Artifact) -> None:
        if process.id not in self._processes or process.stopping:
            return
        process.timeline.end(Stage(artifact.value), self._machine.clock.now)
        process.last_ready_ns = self._machine.clock.now
        prewarmed = process.prewarmed_process and artifact is not Artifact.ADAPTER
        self._machine.post(ev.ArtifactLoaded(process.id, artifact, prewarmed))
        if artifact is Artifact.KERNELS:
            process.prewarmed_process = False
            process.worker.rest()
        if artifact is Artifact.KERNELS and process.copy is not None and process.copy.shared:
            self._prewarmed.refill(process.copy)

    def _libraries(self, process: Process, loaded: Then) -> None:
        machine = self._machine
        work_ns = machine.draws.ns(machine.profile.libraries_s, "libraries", process.drawn_for)
        machine.hardware[process.device].cores.start(work_ns, loaded)

    def _backbone(self, process: Process, loaded: Then) -> None:
        machine, hardware = self._machine, self._machine.hardware[process.device]
        if process.prewarmed_process:
            again_s = machine.profile.remap_s
            work_ns = machine.draws.ns(again_s, "map", process.drawn_for) if again_s else 0.0
            machine.after(work_ns / 1e9, loaded)
        elif process.copy is not None and process.copy.shared:
            again_s = machine.profile.remap_s if process.residency == DORMANT else None
            number = again_s or machine.profile.map_s
            hardware.link.start(machine.draws.ns(number, "map", process.drawn_for), loaded)
        else:
            name, copies = process.group.backbone, hardware.copies
            hardware.files.read(name, process.latency, copies, loaded, private=True)

    def _adapter(self, process: Process, loaded: Then) -> None:
        if process.latency.size.adapter_bytes:
            link = self._machine.hardware[process.device].link
            link.start(process.latency.adapter_ns(), loaded)
        else:
            self._machine.after(0, loaded)

    def _kernels(self, process: Process, loaded: Then) -> None:
        if process.prewarmed_process:
            self._place_adapter(process, loaded)
        elif not self._take_over(process, loaded):
            self._build_engine(process, loaded)

    def _place_adapter(self, process: Process, loaded: Then) -> None:
        """Put the adapter into the engine of a process that was prewarmed without one. Those of
        places are put there when the instance is ready."""
        if process.group.places:
            self._machine.after(0, loaded)
            return
        machine, spare_s = self._machine, self._machine.profile.spare_s
        assert spare_s is not None
        work_ns = machine.draws.ns(spare_s, "spare", process.drawn_for)
        machine.hardware[process.device].takeovers.start(work_ns, loaded)

    def _build_engine(self, process: Process, loaded: Then) -> None:
        """Build the engine of a process, which has the libraries' kernels if it was parked. An
        engine without shapes takes its first batch for what the others take for their shapes."""
        draws, profile = self._machine.draws, self._machine.profile
        parked, worker = process.residency == PARKED, process.worker
        worker.preparer = self._engines.build(process.device, process.group, new_process=not parked)
        own = profile.parked_batch_s if parked else profile.first_batch_s
        extra_ns = draws.ns(own, "first batch", process.drawn_for)
        kernels = profile.parked_kernels_s if parked else profile.kernels_s
        work_ns = 0.0 if kernels is None else draws.ns(kernels, "kernels", process.drawn_for)
        if worker.preparer is not None:
            work_ns, extra_ns = extra_ns if parked else work_ns, 0.0
        worker.extra_ns = extra_ns
        self._machine.hardware[process.device].starts.start(work_ns, loaded)

    def _take_over(self, process: Process, loaded: Then) -> bool:
        """Let a ready prewarmed process, if there is one, replace that of an instance that has no
        engine, as ``live/takeover.py`` does. It needs the adapter; the old process ends."""
        copy, machine = process.copy, self._machine
        if copy is None or machine.profile.spare_s is None:
            return False
        prewarmed = self._prewarmed.replace(copy) if process.latency.size.adapter_bytes else None
        if prewarmed is None:
            return False
        process.prewarmed_process = True
        process.worker.extra_ns, process.worker.preparer = 0.0, prewarmed.preparer
        process.worker.interrupt(partial(self._bring_adapter, process, loaded))
        machine.after(machine.profile.stop_s.value, partial(self._replaced_ended, copy))
        return True

    def _bring_adapter(self, process: Process, loaded: Then) -> None:
        """Load the adapter of an instance that was taken over, unless it has places."""
        if process.group.places:
            loaded()
            return
        machine = self._machine
        process.timeline.begin(Stage.ADAPTER, machine.clock.now)
        link, adapter_ns = machine.hardware[process.device].link, process.latency.adapter_ns()
        link.start(adapter_ns, partial(self._adapter_there, process, loaded))

    def _adapter_there(self, process: Process, loaded: Then) -> None:
        process.timeline.end(Stage.ADAPTER, self._machine.clock.now)
        self._place_adapter(process, loaded)

    def _replaced_ended(self, copy: CopyKey) -> None:
        self._prewarmed.replaced_ended(copy)
        if copy in self._copies:
            self._prewarmed.refill(copy)
