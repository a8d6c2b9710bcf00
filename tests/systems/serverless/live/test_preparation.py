"""An idle process prepares shapes at full pace only while nothing else works on its device."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from systems.interface import Limits
from systems.runtime import preparation_pace
from systems.runtime.messages import Message, Stop
from systems.runtime.preparation_pace import ARRIVAL_S, PATIENCE_S, Pace
from systems.serverless.live import messages as m
from systems.serverless.live.instance import Instance
from tests.deployments import tiny_deployment

from .puppets import Puppet, Stage, play


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_allowed_steps_follow_each_other_once_the_request_had_time_to_arrive(clock: Clock) -> None:
    pace = Pace(clock)
    pace.heard()
    assert pace.wait_ms() == round(ARRIVAL_S * 1e3)
    clock.s += ARRIVAL_S
    assert pace.wait_ms() == 0
    pace.prepared()
    assert pace.wait_ms() == 0
    pace.heard()
    assert pace.wait_ms() == round(ARRIVAL_S * 1e3), "more may follow what was heard"


def test_beside_work_there_is_one_step_in_each_patience(clock: Clock) -> None:
    pace = Pace(clock)
    pace.heard()
    pace.allowed = False
    assert pace.wait_ms() == round(PATIENCE_S * 1e3)
    clock.s += PATIENCE_S
    assert pace.wait_ms() == 0
    pace.prepared()
    assert pace.wait_ms() > 0
    for allowed in (
        True,
        False,
    ):  # a device that is idle for a moment does not begin the wait again
        clock.s += PATIENCE_S / 2
        pace.allowed = allowed
    assert pace.wait_ms() == 0


class Engine:
    """An engine with three shapes left to prepare, which takes no time."""

    running = 0

    def __init__(self) -> None:
        self.prepared = 0

    def prepare(self) -> bool:
        self.prepared += 1
        return self.prepared < 3


class Line:
    """A channel on which nothing more arrives once ``messages`` are read; then the time waited
    passes on ``clock`` until ``until_s``."""

    def __init__(self, clock: Clock, until_s: float, *messages: Message) -> None:
        self._clock, self._until_s, self._messages = clock, until_s, deque(messages)
        self.sent: list[Message] = []

    def receive(self, timeout_ms: int | None) -> Any:
        if self._messages:
            return self._messages.popleft(), []
        if timeout_ms == 0:
            return None
        self._clock.s += (1e6 if timeout_ms is None else timeout_ms) / 1e3
        return (Stop(), []) if self._clock.s >= self._until_s else None

    def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(("allowed", "prepared"), [((), 3), ((False,), 1), ((False, True), 3)])
def test_an_instance_prepares_at_its_pace(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, allowed: tuple[bool, ...], prepared: int
) -> None:
    monkeypatch.setattr(preparation_pace.Pace.__init__, "__defaults__", (clock,))
    told = [m.AllowPreparation(each) for each in allowed]
    line = Line(clock, clock.s + 1.5 * PATIENCE_S, *told)
    instance = Instance(line)  # type: ignore[arg-type]
    engine = Engine()
    artifacts = instance.artifacts
    artifacts.engine, artifacts.unprepared = engine, True  # type: ignore[assignment]
    assert instance.run() == 0
    assert engine.prepared == prepared
    assert line.sent == [m.Prepared()] * (prepared == 3), "it tells that nothing is left"


def test_what_turns_a_process_into_an_instance_waits_for_no_step_between_its_messages(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation_pace.Pace.__init__, "__defaults__", (clock,))
    line = Line(clock, clock.s + PATIENCE_S + ARRIVAL_S / 2, m.Begin())
    instance = Instance(line)  # type: ignore[arg-type]
    clock.s += PATIENCE_S
    engine = Engine()
    instance.artifacts.engine, instance.artifacts.unprepared = engine, True  # type: ignore[assignment]
    assert instance.run() == 0
    assert engine.prepared == 0


def told(puppet: Puppet) -> list[bool]:
    return [each["allowed"] for each in puppet.asked("allowpreparation")]


def test_processes_are_told_when_the_first_works_and_when_none_does(tmp_path: Any) -> None:
    async def scene(stage: Stage) -> None:
        idle = await stage.idle("f0")
        await stage.until(lambda: told(idle) == [False, True])
        before = 2
        first, _ = await stage.up("f1")
        second, _ = await stage.up("f2")
        assert told(idle)[before:] == [False], "it is told once, not for each batch"
        assert told(second) == [False], "its kernels are loaded while another works"
        first.prefills(finished="stop")
        await stage.all_heard()
        assert told(idle)[before:] == [False]
        second.prefills(finished="stop")
        await stage.until(lambda: told(idle)[before:] == [False, True])
        assert told(second)[-1] is True

    limits = Limits(max_batch_size=4, max_context_tokens=512, keep_alive_s=60)
    card = tiny_deployment(limits, ("f0", "f1", "f2"), gib=8, device="cuda:0")
    play(card, tmp_path, scene, forks=True)
