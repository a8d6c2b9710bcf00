"""Runs independent tasks in processes: the cells of a simulated run, the values of a study.

Each task receives all its inputs and leaves its whole result or none. So the number of processes,
the order in which they end, and whether they are killed change no result.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context
from typing import TypeVar

from harness import interrupts
from harness.replay.process import end_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")

_LOOK_S = 0.5
"""Between looks for an interrupt that Python could not raise."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def spread(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    *,
    fresh: bool = False,
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with its result, in the order in which they end. One worker or one task runs
    in this process. ``work``, its argument and its result must be picklable. ``fresh``: a new
    process for each task, so that it measures only itself.

    The first exception cancels the tasks that have not started, and is raised when the others have
    ended. An interrupt, or closing the generator, also ends the tasks that have started."""
    if not fresh and min(workers, len(tasks)) <= 1:
        yield from ((task, work(task)) for task in tasks)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)) or 1,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
        max_tasks_per_child=1 if fresh else None,
    )
    try:
        yield from _as_they_end({pool.submit(work, task): task for task in tasks})
    except (KeyboardInterrupt, GeneratorExit):
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _as_they_end(
    pending: dict[Future[Result], Task],
) -> Iterator[tuple[Task, Result]]:
    while pending:
        done = wait(pending, _LOOK_S, FIRST_COMPLETED).done
        interrupts.check()
        for future in done:
            yield pending.pop(future), future.result()


def _begin(parent: int) -> None:
    """Initialize a worker: it ends with its parent, and ignores keyboard interrupts, which the
    parent handles. Libraries, which are imported later, get one thread: with more, the workers'
    threads would wait for each other (three times the work on 16 cores)."""
    end_with_parent(parent)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
