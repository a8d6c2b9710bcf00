"""Inject a fault into a platform under load, at a moment drawn from a seed. Then check that every
request is answered within its time limit, that every function answers again and that nothing is
left over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from . import device_memory, process_tree
from .fault import Fault, MissedError, Seen, Undo
from .load import Answer, Request, poisson, send_all
from .stage import FUNCTIONS, REQUEST_TIMEOUT_S, Stage

AFTER_S = 2.5
"""Duration of the load after the fault."""
SLACK_S = 3.0
"""Time after the gateway's request timeout by which the gateway must have responded."""
GONE_S = 8.0
_IDLE_DESCRIPTORS = 4
GIVEN_UP_S = 15.0
"""Time limit for the platform to end a stopped process, so that this moment sees the end and not
the next one."""
_AWAITED_S = 145.0
"""Time limit for the target of the fault to appear during a start."""


@dataclass
class Monitored:
    """Answers around a fault; times in seconds after the start of the load."""

    answers: list[Answer]
    at_s: float
    missed: str = ""


def play(stage: Stage, fault: Fault, moment: int, random: np.random.Generator) -> Seen | None:
    """Play one moment; return None if the fault missed."""
    if fault.cold:
        stage.down()
    undo = fault.prepare(stage) if fault.prepare else None
    try:
        seen = _play(stage, fault, moment, random)
    finally:
        if undo is not None:
            undo()
    return seen


def _play(stage: Stage, fault: Fault, moment: int, random: np.random.Generator) -> Seen | None:
    wanted = fault.deployment(stage.target)
    stage.up(wanted)
    if not fault.cold:
        asyncio.run(_round(stage, time.monotonic()))
    descriptors, memory = stage.gateway.num_fds(), stage.device_memory()
    start = time.monotonic()
    watched = asyncio.run(_under_load(stage, fault, random, start))
    if watched.missed:
        return None
    problems, since_s = list(_unaccounted(stage, fault, watched.answers)), watched.at_s
    if fault.ends:
        stage.down()
        problems += _leftovers(stage)
        since_s = time.monotonic() - start
        stage.up(wanted)
    if not fault.cluster:
        problems += _given_up(stage)
    again = asyncio.run(_again(stage, start, fault.recovers_s))
    recovered_s = _recovered(watched.answers + again, since_s)
    if recovered_s is None or recovered_s > fault.recovers_s:
        took = "not at all" if recovered_s is None else f"after {recovered_s:.0f} s"
        problems.append(f"answered again {took}")
    if not fault.cold and not fault.ends and not fault.brief:
        problems += _descriptors_kept(stage.gateway, descriptors)
        problems += device_memory.not_back(memory, stage.device_memory, (), GONE_S)
    if fault.cluster and stage.stopped:
        stage.stopped.clear()
        stage.down()
        problems += _leftovers(stage)
    problems += stage.left
    stage.left.clear()
    return Seen(
        moment=moment,
        fault=fault.name,
        at_s=round(watched.at_s, 3),
        answers=dict(Counter(answer.how for answer in watched.answers)),
        slowest_s=round(max((a.took_s for a in watched.answers), default=0.0), 3),
        recovered_s=None if recovered_s is None else round(recovered_s, 3),
        problems=tuple(problems),
        limit_s=fault.recovers_s,
    )


def _leftovers(stage: Stage) -> list[str]:
    return process_tree.leftovers(stage.folder, stage.ports, GONE_S, stage.shm_before)


def _given_up(stage: Stage) -> list[str]:
    """Return the processes that the fault stopped and that the platform did not end in time."""
    deadline = time.monotonic() + GIVEN_UP_S
    while any(map(process_tree.is_alive, stage.stopped)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [process for process in stage.stopped if process_tree.is_alive(process)]
    stage.stopped.clear()
    return [f"process {process.pid} stays, stopped" for process in left]


async def _round(stage: Stage, start: float) -> list[Answer]:
    """Send one request to every function at the same time."""
    requests = [Request(0, name, 4, stream=False) for name in FUNCTIONS]
    return await send_all(stage.url, requests, REQUEST_TIMEOUT_S + SLACK_S, start)


async def _again(stage: Stage, start: float, within_s: float) -> list[Answer]:
    """Send rounds until all functions answer in one of them, for at most ``within_s``."""
    found: list[Answer] = []
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        answers = await _round(stage, start)
        found += answers
        if all(answer.how == "ok" for answer in answers):
            break
        await asyncio.sleep(0.1)
    return found


async def _under_load(
    stage: Stage, fault: Fault, random: np.random.Generator, start: float
) -> Monitored:
    at_s = float(random.uniform(0.1, 2.5 if fault.cold else 1.5))
    requests = poisson(random, FUNCTIONS, fault.rate_rps, at_s + fault.awaited_s + AFTER_S)
    if fault.cold:
        requests.insert(0, Request(0, FUNCTIONS[0], 4, stream=False))
    limit_s = fault.patience_s or REQUEST_TIMEOUT_S + SLACK_S
    load = asyncio.create_task(send_all(stage.url, requests, limit_s, start))
    await asyncio.sleep(start + at_s - time.monotonic())
    try:
        undo, at_s = await _inflict(stage, fault, random, start)
    except MissedError as error:
        return Monitored(await load, 0, str(error))
    if undo is not None:
        await asyncio.sleep(fault.pause_s)
        undo()
    return Monitored(await load, at_s)


async def _inflict(
    stage: Stage, fault: Fault, random: np.random.Generator, start: float
) -> tuple[Undo | None, float]:
    """Inject the fault as soon as its target exists; return the undo function and the time.
    Raises MissedError after the time limit."""
    deadline = time.monotonic() + max(fault.awaited_s, _AWAITED_S if fault.cold else 0.0)
    while True:
        try:
            return await fault.inflict(stage, random), time.monotonic() - start
        except MissedError:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(0.005)


def _unaccounted(stage: Stage, fault: Fault, answers: Sequence[Answer]) -> Iterator[str]:
    allowed = fault.allowed | {"ok"}
    for how, count in Counter(answer.how for answer in answers).items():
        if how not in allowed:
            yield f"{count} requests ended as {how}"
    late = [a for a in answers if a.took_s > REQUEST_TIMEOUT_S + SLACK_S + 1]
    if late:
        yield f"{len(late)} requests went past their time"
    if not fault.ends:
        yield from _unrecorded(stage, answers, lossy="disk" in fault.name or "file" in fault.name)


def _unrecorded(stage: Stage, answers: Sequence[Answer], *, lossy: bool) -> Iterator[str]:
    """Check that the system trace has every request that the gateway answered. Skipped for faults
    that may lose lines of the trace."""
    assert stage.system is not None
    if lossy:
        return
    recorded = len(stage.system.system_trace().requests)
    answered = sum(answer.how not in {"refused", "timeout", "cut"} for answer in answers)
    if recorded < answered:
        yield f"{answered} requests were answered, {recorded} recorded"


def _recovered(answers: Sequence[Answer], at_s: float) -> float | None:
    """Return the seconds from the fault (if it ended the platform: from the new start) until each
    function had answered a request that was sent after it; None if one never did."""
    ends = []
    for name in FUNCTIONS:
        mine = [a.ended_s for a in answers if a.function == name and a.how == "ok"
                and a.sent_s >= at_s]  # fmt: skip
        if not mine:
            return None
        ends.append(min(mine))
    return max(ends) - at_s


def _descriptors_kept(gateway: psutil.Process, before: int) -> list[str]:
    """Check that the gateway has closed the descriptors that it opened during the fault."""
    deadline = time.monotonic() + GONE_S
    most = before + _IDLE_DESCRIPTORS
    while (now := gateway.num_fds()) > most and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"the gateway holds {now} descriptors, {before} before"] if now > most else []
