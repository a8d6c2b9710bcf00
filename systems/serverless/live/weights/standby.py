"""Loaders that have started CUDA before a copy is asked for, one for each card of a node.

A copy from another card takes tens of milliseconds, a new loader's fork and context ten times as
long. So where copies are made from card to card, a loader stands by on each of them; when it is
taken and has ended, the next one is started. Its memory is ``Settings.standby_bytes``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from systems.runtime.cards import Cards
from systems.runtime.children import Child
from systems.runtime.messages import Failed, Message, Started
from systems.runtime.packets import close_all
from systems.runtime.processes import Processes

from .. import messages as m
from .. import roles


class StandbyLoaders:
    """Keeps a loader for each of ``cards``, by UUID, that may read ``model_dirs``. Calls
    ``on_problem`` if one cannot stand by."""

    def __init__(
        self,
        processes: Processes,
        cards: Cards,
        model_dirs: Iterable[Path],
        on_problem: Callable[[str], None],
    ) -> None:
        self._processes, self._cards, self._on_problem = processes, cards, on_problem
        self._model_dirs = tuple(map(str, model_dirs))
        self._there: dict[str, Child] = {}
        self._ready: set[str] = set()
        self._closed = False

    @property
    def children(self) -> list[Child]:
        return list(self._there.values())

    @property
    def starting(self) -> list[Child]:
        """Those that start CUDA, and so must give signs of life; one that is ready is silent."""
        return [child for card, child in self._there.items() if card not in self._ready]

    @property
    def settled(self) -> bool:
        """Whether all that were started have started CUDA."""
        return self._ready >= set(self._there)

    def fill(self) -> None:
        """Start those that are missing, as forks of the template."""
        for card in self._cards.uuids.values():
            self.refill(card)

    def refill(self, card: str) -> None:
        """Start the loader of a card, if it has one and it is missing. One that cannot be started
        stays missing until the next call."""
        able = not self._closed and self._processes.template is not None
        if able and card in self._cards.uuids.values() and card not in self._there:
            try:
                self._start(card)
            except OSError as error:
                self._missing(card, str(error))

    def _start(self, card: str) -> None:
        loader = self._there[card] = self._processes.fork(
            roles.LOADER,
            partial(self._says, card),
            partial(self._ended, card),
            self._cards.all_from(card),
        )
        loader.heartbeat.answers = False
        loader.channel.send(m.StandBy(card, self._model_dirs))

    def take(
        self,
        card: str,
        on_message: Callable[[Message, list[int]], None],
        on_exit: Callable[[int | None], None],
    ) -> Child | None:
        """Remove and return the loader of ``card`` that is ready, for a copy; None if none is."""
        if card not in self._ready:
            return None
        self._ready.discard(card)
        loader = self._there.pop(card)
        loader.on_message, loader.on_exit = on_message, on_exit
        return loader

    def close(self) -> None:
        """Start no more loaders."""
        self._closed = True

    def _says(self, card: str, message: Message, fds: list[int]) -> None:
        close_all(fds)
        if isinstance(message, Started):
            self._ready.add(card)
        elif isinstance(message, Failed):
            self._missing(card, message.reason)

    def _ended(self, card: str, returncode: int | None) -> None:  # noqa: ARG002
        """Without it, the next copy of ``card`` is loaded by a new loader."""
        loader = self._there.pop(card, None)
        self._ready.discard(card)
        if loader is not None and loader.verdict:
            self._missing(card, loader.verdict)

    def _missing(self, card: str, why: str) -> None:
        self._on_problem(f"no loader stands by on {card}: {why}")
