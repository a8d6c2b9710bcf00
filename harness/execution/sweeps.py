"""Independent pieces of work over processes: the cells of a simulated run, the values of a study.

Each piece is told all it needs and leaves its result whole or not at all, so that how many
processes there are, in which order they end, and whether they are killed changes no result.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context
from typing import TypeVar

from harness.replay.process import end_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def spread(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    *,
    fresh: bool = False,
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, as they come to an end; in this process where one worker, or one
    task, is all there is. ``work`` and what it takes and gives must be picklable. ``fresh``: a new
    process for each task, so that what it measures of its process is its own.

    The first exception ends what has not begun and is raised once the rest has ended; an interrupt,
    or a caller that wants no more, ends what has begun too."""
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
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            yield pending.pop(future), future.result()


def _begin(parent: int) -> None:
    """A worker ends with its parent, and leaves an interrupt from the keyboard to it. It has one
    core: threads of libraries, not yet imported, would only wait for each other on those of the
    others, three times the work on 16 cores."""
    end_with_parent(parent)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
