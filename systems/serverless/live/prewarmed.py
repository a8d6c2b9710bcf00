"""Prewarmed processes: they hold the device context, kernels and graphs (the *kernels* artifact)
before a request needs them, and belong to no function yet.

A prewarmed process is forked from the template, maps a shared backbone, and builds its engine
around an empty adapter slot. A starting instance takes over the one with most artifacts loaded,
then loads the rest and its adapter; a new prewarmed process replaces it. A ready one also takes
over an instance that wakes (:mod:`.takeover`). A prewarmed process has never served a request, so
it holds no data of a function.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from systems.engine.adapter_files import AdapterFiles
from systems.interface import Stage
from systems.runtime.cards import Cards
from systems.runtime.children import Child
from systems.runtime.incoming import BadMessageError
from systems.runtime.messages import Failed, Message, Started
from systems.runtime.processes import OnExit, OnMessage
from systems.runtime.stages import Timeline

from ..core.artifacts import Artifact, CopyKey
from ..core.events import PrewarmedReady
from ..core.warm_pool import Later, WarmPool
from .messages import (
    AllowPreparation,
    ArtifactLoaded,
    Configure,
    LoadArtifact,
    Prepared,
    SlotShape,
)
from .nodes import DeviceWork
from .plan import Plan
from .weights.handle import SharedWeightsHandle

Fork = Callable[[str, OnMessage, OnExit], Child]
ISOLATION_GAP = (
    "prewarmed: a process that an instance of one function takes over may read the adapter files of"
    " every such function over its backbone"
)
_LOADS = (Artifact.LIBRARIES, Artifact.BACKBONE, Artifact.KERNELS)
_STAGES = (Stage.WARMING, *(Stage(artifact.value) for artifact in _LOADS))


class Copy(Protocol):
    """A shared backbone of the node. Its handle is empty on a card until it is loaded."""

    weights_handle: SharedWeightsHandle


@dataclass(slots=True, eq=False)
class PrewarmedProcess:
    """``timeline``: stages of its process, which the instance that takes it inherits."""

    copy: CopyKey
    child: Child | None = None
    timeline: Timeline = field(default_factory=Timeline.empty)
    loaded: list[Artifact] = field(default_factory=list)
    prepared: bool = False
    """Whether nothing is left that its engine can prepare."""
    _owner: OnMessage | None = None

    @property
    def done(self) -> int:
        return len(self.loaded)

    @property
    def ready(self) -> bool:
        return Artifact.KERNELS in self.loaded

    @property
    def took_ns(self) -> int:
        spans = [span for span in self.timeline.spans if span.stage is not Stage.LIBRARIES]
        return sum(span.end_ns - span.start_ns for span in spans)

    def become(self, on_message: OnMessage, on_exit: OnExit) -> Child:
        """Turn it into an instance's process. It first loads its remaining prewarm artifacts; until
        then the instance receives only failures from it."""
        assert self.child is not None
        self._owner = on_message
        self.child.on_exit = on_exit
        return self.child

    def says(self, message: Message, fds: list[int]) -> None:
        if self._owner is not None and (self.ready or isinstance(message, Failed)):
            self._owner(message, fds)
        elif isinstance(message, Started):
            self._next(Stage.WARMING)
        elif isinstance(message, ArtifactLoaded):
            if message.artifact not in _LOADS:
                raise BadMessageError(f"loaded: {message.artifact} was not asked for")
            self._next(Stage(message.artifact.value))
            self.loaded.append(message.artifact)
        elif isinstance(message, Prepared):
            self.prepared = True

    def _next(self, stage: Stage) -> None:
        """End ``stage`` and begin the next: all loads are requested at once and run in order."""
        now = time.monotonic_ns()
        self.timeline.end(stage, now)
        follows = _STAGES[_STAGES.index(stage) + 1 :]
        if follows:
            self.timeline.begin(follows[0], now)


class PrewarmedProcesses:
    """Keeps ``plan.options.prewarmed`` processes for each of ``copies``, on its device's card.
    ``fork`` starts a process on a device that can become an instance, or raises ``OSError``;
    ``end`` kills one; ``later`` calls a function after a number of seconds; ``tell`` is called with
    how many are ready."""

    def __init__(
        self,
        plan: Plan,
        cards: Cards,
        copies: Mapping[CopyKey, Copy],
        fork: Fork,
        end: Callable[[Child], None],
        later: Later,
        tell: Callable[[PrewarmedReady], None],
    ) -> None:
        self._plan, self._copies, self._fork, self._end = plan, copies, fork, end
        self._cards = cards
        self._pool: WarmPool[PrewarmedProcess] = WarmPool(
            plan.options.prewarmed, self._make, later, tell
        )
        self.take, self.refill, self.close = self._pool.take, self._pool.refill, self._pool.close
        self.replaced_ended = self._pool.replaced_ended

    @property
    def settled(self) -> bool:
        """Whether no process is being made, or prepares its engine."""
        return self._pool.settled and all(each.prepared for each in self._pool.prewarmed)

    @property
    def children(self) -> list[Child]:
        return [
            prewarmed_process.child
            for prewarmed_process in self._pool.prewarmed
            if prewarmed_process.child is not None
        ]

    def replace(self, group: str, key: CopyKey) -> PrewarmedProcess | None:
        """Remove and return a ready process for an instance of ``group`` that has no engine; None
        if there is none or its engine does not fit: it would build one as well."""
        return self._pool.replace(key) if self.fits(group, key.backbone) else None

    def fits(self, group: str, backbone: str) -> bool:
        """Return whether the engines of ``backbone``'s processes serve ``group``."""
        return _serves(self._plan, configuration(self._plan, backbone), group)

    def device_work(self, work: DeviceWork) -> None:
        """Let the processes of a device prepare shapes only while no instance works there."""
        self._pool.device_work(work.device, busy=work.busy)
        for prewarmed_process in self._pool.prewarmed:
            if prewarmed_process.child is not None and prewarmed_process.copy.device == work.device:
                prewarmed_process.child.channel.send(AllowPreparation(not work.busy))

    def tell_preparation(self, child: Child, device: str) -> None:
        """Tell a process that prepares next what :meth:`device_work` told the others."""
        if device in self._pool.busy:
            child.channel.send(AllowPreparation(False))

    def drop(self, key: CopyKey) -> None:
        for prewarmed_process in self._pool.drop(key):
            if prewarmed_process.child is not None:
                self._end(prewarmed_process.child)

    def _make(self, key: CopyKey) -> PrewarmedProcess | None:
        copy = self._copies.get(key)
        if copy is None or not copy.weights_handle:
            return None  # it would read a private copy; once the shared one is there, it is made
        prewarmed_process = PrewarmedProcess(key)
        prewarmed_process.timeline.begin(Stage.WARMING, time.monotonic_ns())
        try:
            prewarmed_process.child = self._fork(
                key.device,
                partial(self._says, prewarmed_process),
                lambda returncode: self._lost(prewarmed_process),  # noqa: ARG005
            )
        except OSError:
            return None  # the next instance starts without a prewarmed process
        channel = prewarmed_process.child.channel
        told = configuration(self._plan, key.backbone)
        channel.send(replace(told, card=self._cards.uuid(key.device)))
        self.tell_preparation(prewarmed_process.child, key.device)
        for artifact in _LOADS:
            backbone = artifact is Artifact.BACKBONE
            weights_handle = copy.weights_handle if backbone else SharedWeightsHandle()
            layout = self._plan.layout(key.backbone) if backbone else None
            channel.send(LoadArtifact(artifact, layout, weights_handle.handle), weights_handle.fds)
        return prewarmed_process

    def _lost(self, prewarmed_process: PrewarmedProcess) -> None:
        """Replace a process that ended. One that ended before it had prepared its engine, for which
        memory may be missing, would fail again: its pool waits for the next instance that is
        ready, and a deployment does not wait for it."""
        self._pool.lose(prewarmed_process)
        if prewarmed_process.prepared:
            self._pool.refill(prewarmed_process.copy)

    def _says(self, prewarmed_process: PrewarmedProcess, message: Message, fds: list[int]) -> None:
        was_ready = prewarmed_process.ready
        prewarmed_process.says(message, fds)
        if prewarmed_process.ready and not was_ready:
            self._pool.became_ready(prewarmed_process)


def configuration(plan: Plan, backbone: str) -> Configure:
    """Return the first message to a prewarmed process: as for an instance of the backbone's largest
    group, but without an adapter."""
    groups = [group for group in plan.cluster.groups.values() if group.backbone == backbone]
    largest = max(groups, key=lambda group: (group.places, group.batch_limit))
    told = plan.configuration(largest.id)
    slot = told.slot if largest.places else slot_shape(plan, backbone)
    later = told.later or readable(plan, backbone)
    return replace(told, group=backbone, adapter=None, stamps=(), slot=slot, later=later)


def readable(plan: Plan, backbone: str) -> tuple[str, ...]:
    """Return the adapters that a process of ``backbone`` may have to read once it belongs to a
    function: what a process may read can only be chosen before it starts CUDA."""
    groups = [group for group in plan.cluster.groups.values() if group.backbone == backbone]
    alone = [group.function for group in groups if group.function and not group.places]
    return tuple(str(plan.adapters[name].path) for name in alone if name in plan.adapters)


def _serves(plan: Plan, prewarmed: Configure, group: str) -> bool:
    """Return whether an engine that was built for ``prewarmed`` serves ``group``."""
    told = plan.configuration(group)
    files = plan.adapters.get(plan.cluster.groups[group].functions[0])
    slot = told.slot if told.places else _shape(files) if files else None
    there = prewarmed.slot, prewarmed.places, prewarmed.max_batch_size
    return slot is not None and there == (slot, told.places, told.max_batch_size)


def slot_shape(plan: Plan, backbone: str) -> SlotShape | None:
    """Return the most common rank and targets of the adapters of ``backbone``; None without any."""
    found = Counter(
        _shape(files)
        for name, files in plan.adapters.items()
        if plan.functions[name].backbone == backbone
    )
    return found.most_common(1)[0][0] if found else None


def _shape(files: AdapterFiles) -> SlotShape:
    return SlotShape(files.rank, tuple(sorted(files.targets)))
