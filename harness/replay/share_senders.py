"""Checks the messages of load workers: their form, and that each is about its sender's share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, TypeVar

import pyarrow.parquet as pq

from systems.runtime.links.message import one_line

from .messages import OfWorker, WorkerRecent, taken
from .plan import Plan

Counts = TypeVar("Counts", bound=OfWorker)


class ShareSenders:
    """The nodes of Locust that report shares of ``plan``. Calls ``lose`` once for each node that
    sends an invalid message, whose later messages are refused too, with its worker, or None if it
    has reported no share."""

    def __init__(self, plan: Plan, lose: Callable[[int | None], None]) -> None:
        self._plan, self._lose = plan, lose
        self._worker_of: dict[str, int] = {}
        """By Locust's node: the worker whose share it has."""
        self._refused: set[str] = set()

    def read(self, msg: Any, expected: type[Counts]) -> Counts | None:
        """Return the content of Locust's message ``msg``; None if it is refused."""
        try:
            found = taken(msg.data, expected)
            if found.worker not in self._shares_of(msg.node_id):
                raise ValueError(f"worker {found.worker} is not its share")
            self._check_rows(found)
        except ValueError as error:
            self._refuse(msg.node_id, error)
            return None
        self._worker_of[msg.node_id] = found.worker
        return None if msg.node_id in self._refused else found

    def _check_rows(self, found: OfWorker) -> None:
        """Raise ``ValueError`` if a worker reports requests that are not in its share."""
        rows = [each.row for each in found.requests] if isinstance(found, WorkerRecent) else []
        strange = [r for r in rows if r >= self._total or r % self._plan.workers != found.worker]
        if strange:
            raise ValueError(f"request {strange[0]} is not in its share")

    @cached_property
    def _total(self) -> int:
        """The number of requests of the schedule."""
        return int(pq.read_metadata(self._plan.schedule).num_rows)

    def _shares_of(self, node: str) -> Collection[int]:
        """Return the shares that a node may report: its own, or at first those of no other."""
        if node in self._worker_of:
            return (self._worker_of[node],)
        return set(range(self._plan.workers)) - set(self._worker_of.values())

    def _refuse(self, node: str, error: ValueError) -> None:
        if node not in self._refused:
            self._refused.add(node)
            why = one_line(error)
            print(f"replay: load worker {node} sent an invalid message: {why}", file=sys.stderr)
            self._lose(self._worker_of.get(node))
