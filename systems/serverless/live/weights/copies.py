"""The shared backbones of a node: loaded by processes of their own, summed on request, released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from systems.interface import Stage
from systems.runtime.cards import Cards
from systems.runtime.children import GRACE_S, Child, kill, why
from systems.runtime.incoming import BadMessageError
from systems.runtime.messages import Failed, Message
from systems.runtime.packets import close_all
from systems.runtime.processes import Processes
from systems.runtime.stages import Timeline

from ...core import actions as act
from ...core import events as ev
from ...core.artifacts import CopyKey
from .. import messages as m
from .. import roles
from ..nodes import Reports
from ..plan import Plan
from . import cuda_ipc, store
from .auditing import Sum
from .handle import SharedWeightsHandle
from .standby import StandbyLoaders


@dataclass(slots=True, eq=False)
class StoredCopy:
    """A shared backbone: the handle that maps it (empty for device memory until it is loaded), and
    its loader."""

    name: str
    weights_handle: SharedWeightsHandle
    load: int
    """Number of this load; a dropped copy that is loaded again has another."""
    loader: Child | None = None
    keeper: Child | None = None
    """The loader of a loaded copy, where the memory is freed when the loader ends."""
    sum: Sum | None = None
    """The latest checksum, if audits are on."""
    timeline: Timeline = field(default_factory=Timeline.empty)
    reason: str = ""
    loaded: bool = False
    waiting: list[Callable[[StoredCopy | None], None]] = field(default_factory=list)
    """Begins the loading of copies that are made from this one; None: read the checkpoint."""


class SharedCopies:
    """The copies of one node by their keys, on ``cards``. It calls ``post`` with each event and
    tells ``reports`` isolation gaps and problems."""

    def __init__(
        self,
        plan: Plan,
        processes: Processes,
        cards: Cards,
        post: Callable[[ev.Event], None],
        reports: Reports,
    ) -> None:
        self.held: dict[CopyKey, StoredCopy] = {}
        self._plan, self._processes, self._cards = plan, processes, cards
        self._post, self._reports = post, reports
        self._auditor: Child | None = None
        stands_by = plan.cluster.settings.standby_bytes > 0
        model_dirs = plan.deployment.backbones.values()
        there = cards if stands_by else Cards()
        self.standby = StandbyLoaders(processes, there, model_dirs, reports.problem)

    @property
    def working(self) -> list[Child]:
        """Loaders that still load, those that will stand by, and the auditor: processes that must
        give signs of life."""
        found = [copy.loader for copy in self.held.values() if copy.loader]
        found += self.standby.starting
        return [*found, self._auditor] if self._auditor else found

    @property
    def children(self) -> list[Child]:
        """All processes of the copies."""
        keepers = [copy.keeper for copy in self.held.values() if copy.keeper]
        return [*self.working, *keepers, *self.standby.children]

    def load(self, action: act.LoadBackbone) -> None:
        """Start the loader of a copy; post how that ended."""
        self._begin(action.copy, self._new(action.copy, action.load))

    def copy(self, action: act.CopyBackbone) -> None:
        """Start the loader of a copy that is made from another as soon as that is loaded; if it is
        gone before, or shared by another means than a descriptor, the checkpoint is read."""
        stored = self._new(action.copy, action.load)
        source = self.held.get(action.source)
        begin = partial(self._begin, action.copy, stored)
        if source is None or source.loaded:
            begin(source)
        else:
            source.waiting.append(begin)

    def _new(self, key: CopyKey, load: int) -> StoredCopy:
        stored = self.held[key] = StoredCopy(
            f"backbone {key.backbone} on {key.device}", SharedWeightsHandle(), load
        )
        stored.timeline.begin(Stage.BACKBONE, time.monotonic_ns())
        return stored

    def _begin(self, key: CopyKey, stored: StoredCopy, source: StoredCopy | None = None) -> None:
        if self.held.get(key) is not stored:
            return  # dropped while it waited for its source
        try:
            self._start_loader(key, stored, source)
        except OSError as error:
            self.close(key)
            self._post(ev.BackboneFailed(key, stored.load, str(error)))

    def _start_loader(self, key: CopyKey, stored: StoredCopy, source: StoredCopy | None) -> None:
        heard = partial(self._loader_says, key, stored), partial(self._loader_ended, key, stored)
        card = self._cards.uuid(key.device)
        peers = self._plan.options.peer_copies
        visible = self._cards.all_from(card) if peers else card
        if self._plan.device == "cpu":
            size = self._plan.cluster.backbones[key.backbone].bytes
            name = f"backbone:{key.backbone}"
            stored.weights_handle = SharedWeightsHandle(store.create(name, size))
        stored.loader = self.standby.take(card, *heard) or self._processes.begin(
            roles.LOADER, *heard, visible
        )
        stored.loader.heartbeat.answers = False
        told = m.FillCopy(
            device=self._plan.device,
            sharing=self._plan.options.cuda_sharing,
            audited=self._plan.options.audit_s is not None,
            layout=self._plan.layout(key.backbone),
            model_dir=str(self._plan.model_dir(key.backbone)),
            keep_cached=not peers and len(self._plan.cluster.devices) > 1,
            card=card,
        )
        given = source or stored
        stored.loader.channel.send(told, given.weights_handle.fds)

    def _loader_says(
        self,
        key: CopyKey,
        stored: StoredCopy,
        message: Message,
        fds: list[int],
    ) -> None:
        """Take the loader's first result; ignore it if the copy was dropped."""
        if stored.loader is None or stored.reason:
            close_all(fds)
        elif isinstance(message, Failed):
            close_all(fds)
            stored.reason = message.reason
        elif isinstance(message, m.CopyLoaded):
            self._loaded(stored, stored.loader, message, fds)
            self._release(stored, stored)
            self._post(ev.BackboneLoaded(key, stored.load))
        else:
            close_all(fds)  # Only a loaded copy has one.

    def _release(self, stored: StoredCopy, source: StoredCopy | None) -> None:
        """Begin what waits for ``stored``."""
        waiting, stored.waiting = stored.waiting, []
        for begin in waiting:
            begin(source)

    def _loaded(
        self, stored: StoredCopy, loader: Child, message: m.CopyLoaded, fds: list[int]
    ) -> None:
        made = SharedWeightsHandle.of(message.handle, fds)
        if bool(made) == bool(stored.weights_handle):
            close_all(fds)
            raise BadMessageError("loaded: a descriptor or a handle on a card, none on the host")
        if message.problem:
            self._reports.problem(f"{stored.name} was read, not copied: {message.problem}")
        stored.weights_handle = made or stored.weights_handle
        stored.sum = Sum.of(message.sum) if message.sum else None
        stored.timeline.end(Stage.BACKBONE, time.monotonic_ns())
        stored.loader, stored.loaded = None, True
        if stored.weights_handle.handle:
            stored.keeper = loader
            self._reports.isolation_gap(cuda_ipc.ISOLATION_GAP)
        else:
            # The liveness monitor no longer includes this loader, and it should end by itself.
            asyncio.get_running_loop().call_later(GRACE_S, kill, loader)

    def _loader_ended(self, key: CopyKey, stored: StoredCopy, returncode: int | None) -> None:
        gone = stored.loader or stored.keeper
        self.standby.refill(self._cards.uuid(key.device))
        if gone is not None:
            reason = stored.reason or gone.verdict or why(returncode)
            self.close(key)
            self._post(ev.BackboneFailed(key, stored.load, reason))

    def close(self, key: CopyKey) -> None:
        """Release a copy and end its loader, whose later messages are ignored."""
        stored = self.held.pop(key, None)
        if stored is None:
            return
        close_all(stored.weights_handle.fds)
        self._release(stored, None)
        loader, stored.loader = stored.loader, None
        keeper, stored.keeper = stored.keeper, None
        if loader is not None:
            kill(loader)
        if keeper is not None:
            keeper.channel.send(m.DropCopy())
            asyncio.get_running_loop().call_later(GRACE_S, kill, keeper)

    def start_auditor(
        self, key: CopyKey, said: Callable[[Message], None], ended: Callable[[str], None]
    ) -> None:
        """Have a held copy summed in place by a process of its own."""

        def over(returncode: int | None) -> None:
            verdict = self._auditor.verdict if self._auditor else ""
            self._auditor = None
            ended(verdict or why(returncode))

        card = self._cards.uuid(key.device)
        self._auditor = self._processes.begin(
            roles.AUDITOR,
            lambda message, fds: said(message),  # noqa: ARG005
            over,
            card,
        )
        self._auditor.heartbeat.answers = False
        weights_handle = self.held[key].weights_handle
        nbytes = self._plan.layouts[key.backbone].nbytes
        told = m.SumCopy(self._plan.device, nbytes, weights_handle.handle, card)
        self._auditor.channel.send(told, weights_handle.fds)
