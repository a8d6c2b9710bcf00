"""Independent pieces of work over the machines of a Ray cluster; ``sweeps`` is the same on one.

What a piece is told and what it gives travel with it, since the machines share no folder. A machine
that is lost has its pieces done by another; they leave their results whole or not at all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from harness.errors import HarnessError
from systems.runtime.links.address import ClusterAddress
from systems.runtime.links.rays import check_installed, connect

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 2
"""Pieces that are under way or wait, for every core: none idles, and few are lost with Ray."""


def spread_over(
    address: ClusterAddress, work: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, as they come to an end. ``local:N`` starts Ray here with room for
    N at once. ``work`` and what it takes and gives must be picklable, and the code the same on
    every machine. The first error of a task ends the rest and is raised."""
    if not tasks:
        return
    check_installed(address)
    address.check_reachable()
    folder = tempfile.mkdtemp(prefix="slbench-ray-")
    try:
        ray = connect(address, folder, cpus=address.local)
        try:
            yield from _as_they_end(ray, work, tasks)
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_they_end(
    ray: Any, work: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    remote = ray.remote(num_cpus=1)(work)
    room = max(1, int(ray.cluster_resources().get("CPU", 1))) * _AHEAD
    waiting = iter(tasks)
    pending: dict[Any, Task] = {}
    while True:
        for task in waiting:
            pending[remote.remote(task)] = task
            if len(pending) >= room:
                break
        if not pending:
            return
        for done in ray.wait(list(pending))[0]:
            yield pending.pop(done), _outcome(ray, done)


def _outcome(ray: Any, reference: Any) -> Any:
    """What a task gave; its own error where it is one of ours."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise error.cause from error
        raise HarnessError(f"sweep: {error.cause!r} on another machine") from error
    except ray.exceptions.RayError as error:
        raise HarnessError(f"sweep: {str(error).splitlines()[0]}") from error
