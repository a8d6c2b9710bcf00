"""Prewarmed processes: they hold the device context, kernels and graphs (the *kernels* artifact)
before a request needs them, and belong to no function yet.

A prewarmed process is forked from the template, maps a shared backbone, and builds its engine
around an empty adapter slot. A starting instance takes over the one with most artifacts loaded,
then loads the rest and its adapter; a new prewarmed process replaces it. A prewarmed process has
never served a request, so it holds no data of a function.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from systems.interface import Stage
from systems.runtime.children import Child
from systems.runtime.incoming import BadMessageError
from systems.runtime.messages import Failed, Message, Started
from systems.runtime.stages import Timeline

from ..core.artifacts import Artifact, CopyKey
from ..core.warm_pool import WarmPool
from .messages import ArtifactLoaded, Configure, LoadArtifact, SlotShape
from .plan import Plan
from .weights.handle import SharedWeightsHandle

Says = Callable[[Message, list[int]], None]
Fork = Callable[[Says, Callable[[int | None], None]], Child]
_LOADS = (Artifact.LIBRARIES, Artifact.BACKBONE, Artifact.KERNELS)
_STAGES = (Stage.WARMING, *(Stage(artifact.value) for artifact in _LOADS))


class Copy(Protocol):
    """A shared backbone of the node."""

    weights_handle: SharedWeightsHandle


@dataclass(slots=True, eq=False)
class PrewarmedProcess:
    """``timeline``: stages of its process, which the instance that takes it inherits."""

    copy: CopyKey
    child: Child | None = None
    timeline: Timeline = field(default_factory=Timeline.empty)
    loaded: list[Artifact] = field(default_factory=list)
    _owner: Says | None = None

    @property
    def done(self) -> int:
        return len(self.loaded)

    @property
    def ready(self) -> bool:
        return Artifact.KERNELS in self.loaded

    def become(self, on_message: Says, on_exit: Callable[[int | None], None]) -> Child:
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

    def _next(self, stage: Stage) -> None:
        """End ``stage`` and begin the next: all loads are requested at once and run in order."""
        now = time.monotonic_ns()
        self.timeline.end(stage, now)
        follows = _STAGES[_STAGES.index(stage) + 1 :]
        if follows:
            self.timeline.begin(follows[0], now)


class PrewarmedProcesses:
    """Keeps ``plan.options.prewarmed`` processes for each of ``copies``. ``fork`` starts a process
    that can become an instance; ``end`` kills one."""

    def __init__(
        self, plan: Plan, copies: Mapping[CopyKey, Copy], fork: Fork, end: Callable[[Child], None]
    ) -> None:
        self._plan, self._copies, self._fork, self._end = plan, copies, fork, end
        self._pool: WarmPool[PrewarmedProcess] = WarmPool(plan.options.prewarmed, self._make)
        self.take = self._pool.take

    @property
    def children(self) -> list[Child]:
        return [
            prewarmed_process.child
            for prewarmed_process in self._pool.prewarmed
            if prewarmed_process.child is not None
        ]

    def refill(self, key: CopyKey) -> None:
        if key in self._copies:
            self._pool.refill(key)

    def drop(self, key: CopyKey) -> None:
        for prewarmed_process in self._pool.drop(key):
            if prewarmed_process.child is not None:
                self._end(prewarmed_process.child)

    def _make(self, key: CopyKey) -> PrewarmedProcess | None:
        prewarmed_process = PrewarmedProcess(key)
        prewarmed_process.timeline.begin(Stage.WARMING, time.monotonic_ns())
        try:
            prewarmed_process.child = self._fork(
                partial(self._says, prewarmed_process),
                lambda returncode: self._pool.lose(prewarmed_process),  # noqa: ARG005
            )
        except OSError:
            return None  # the next instance starts without a prewarmed process
        channel = prewarmed_process.child.channel
        channel.send(configuration(self._plan, key.backbone))
        for artifact in _LOADS:
            backbone = artifact is Artifact.BACKBONE
            weights_handle = self._copies[key].weights_handle if backbone else SharedWeightsHandle()
            layout = self._plan.layout(key.backbone) if backbone else None
            channel.send(LoadArtifact(artifact, layout, weights_handle.handle), weights_handle.fds)
        return prewarmed_process

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
    return replace(told, group=backbone, adapter=None, stamps=(), slot=slot)


def slot_shape(plan: Plan, backbone: str) -> SlotShape | None:
    """Return the most common rank and targets of the adapters of ``backbone``; None without any."""
    found = Counter(
        (files.rank, tuple(sorted(files.targets)))
        for name, files in plan.adapters.items()
        if plan.functions[name].backbone == backbone
    )
    if not found:
        return None
    (rank, targets), _ = found.most_common(1)[0]
    return SlotShape(rank, targets)
