"""Runs independent tasks on the machines of a Ray cluster; ``sweeps`` does the same on one machine.

Inputs and results are sent with each task, since the machines share no folder. If a machine is
lost, another repeats its tasks; a task leaves its whole result or none.
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
"""Tasks submitted per core: no core is idle, and few tasks are lost if Ray fails."""


def spread_over(
    address: ClusterAddress, work: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with its result, in the order in which they end. ``local:N`` starts Ray on
    this machine with N tasks at once. ``work``, its argument and its result must be picklable, and
    the code must be the same on every machine. The first error of a task is raised and ends the
    others."""
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
    """Return a task's result. Raise the task's own error if it is a ``ValueError``, else
    ``HarnessError``."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise error.cause from error
        raise HarnessError(f"sweep: {error.cause!r} on another machine") from error
    except ray.exceptions.RayError as error:
        raise HarnessError(f"sweep: {str(error).splitlines()[0]}") from error
