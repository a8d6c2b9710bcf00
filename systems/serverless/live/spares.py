"""Processes on a card that hold context, kernels and graphs, and belong to no function yet: the
*kernels* artifact, ready before it is called for.

A spare is forked of the template, maps a shared backbone, and builds its engine around an empty
adapter slot. An instance that starts takes it over and owes its adapter alone; another spare is
made in its place. One has never served anybody, so nothing of a function can be left in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..core.artifacts import Artifact, CopyKey
from .children import Child
from .exports import Export
from .plan import Plan
from .wire import Message

Fork = Callable[[Callable[[Message, list[int]], None], Callable[[int | None], None]], Child]
_LOADS = (Artifact.LIBRARIES, Artifact.BACKBONE, Artifact.KERNELS)


class Copy(Protocol):
    """A shared backbone as the node keeps it."""

    export: Export


@dataclass(slots=True, eq=False)
class Spare:
    copy: CopyKey
    child: Child | None = None
    loaded: list[Artifact] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return Artifact.KERNELS in self.loaded


class Spares:
    """Keeps ``plan.options.spares`` of them for each shared copy. ``fork`` makes a process that
    will be an instance; ``end`` takes one away."""

    def __init__(self, plan: Plan, fork: Fork, end: Callable[[Child], None]) -> None:
        self._plan, self._fork, self._end = plan, fork, end
        self._spares: list[Spare] = []

    @property
    def children(self) -> list[Child]:
        return [spare.child for spare in self._spares if spare.child is not None]

    def refill(self, key: CopyKey, copy: Copy) -> None:
        """``copy`` is resident and there may be too few spares of it."""
        there = sum(spare.copy == key for spare in self._spares)
        for _ in range(self._plan.options.spares - there):
            self._make(key, copy)

    def take(self, backbone: str, device: str) -> Child | None:
        """One that is ready, no longer a spare."""
        for spare in self._spares:
            if spare.ready and (spare.copy.backbone, spare.copy.device) == (backbone, device):
                self._spares.remove(spare)
                return spare.child
        return None

    def drop(self, key: CopyKey) -> None:
        """The copy goes: so does whatever maps it."""
        for spare in [each for each in self._spares if each.copy == key]:
            self._spares.remove(spare)
            if spare.child is not None:
                self._end(spare.child)

    def _make(self, key: CopyKey, copy: Copy) -> None:
        spare = Spare(key)
        try:
            spare.child = self._fork(
                lambda message, fds: self._says(spare, message, fds),
                lambda returncode: self._ended(spare),  # noqa: ARG005
            )
        except OSError:
            return  # an instance will have to start the longer way
        self._spares.append(spare)
        shape = slot_shape(self._plan, key.backbone)
        channel = spare.child.channel
        channel.send("configure", **self._plan.configuration(key.backbone), slot=shape)
        for artifact in _LOADS:
            backbone = artifact is Artifact.BACKBONE
            export = copy.export if backbone else Export()
            layout = {"layout": self._plan.layout(key.backbone)} if backbone else {}
            channel.send("load", export.fds, artifact=artifact.value, **layout, **export.fields)

    def _says(self, spare: Spare, message: Message, fds: list[int]) -> None:  # noqa: ARG002
        if message["kind"] == "loaded":
            spare.loaded.append(Artifact(message["artifact"]))

    def _ended(self, spare: Spare) -> None:
        if spare in self._spares:
            self._spares.remove(spare)


def slot_shape(plan: Plan, backbone: str) -> dict[str, object] | None:
    """Rank and targets that most adapters of ``backbone`` have; None where it has no adapter."""
    found = Counter(
        (files.rank, tuple(sorted(files.targets)))
        for name, files in plan.adapters.items()
        if plan.functions[name].backbone == backbone
    )
    if not found:
        return None
    (rank, targets), _ = found.most_common(1)[0]
    return {"rank": rank, "targets": targets}
