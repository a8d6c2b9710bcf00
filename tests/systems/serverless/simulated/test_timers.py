"""Timers of the controller in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from systems.serverless.core import actions as act
from systems.serverless.core import events as ev
from systems.serverless.core.artifacts import Timer
from systems.serverless.core.controller import Controller

from .test_simulation import run


class Timers:
    """Wraps ``Controller.handle``; remembers which timers are set, and asserts that each fires only
    at the time that was set last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set_again = self.fired = 0
        self._pending: dict[Timer, int] = {}
        self._handle = Controller.handle
        monkeypatch.setattr(Controller, "handle", lambda *given: self._watched(*given))

    def _watched(self, controller: Controller, event: ev.Event, now_ns: int) -> list[Any]:
        if isinstance(event, ev.TimerFired):
            assert self._pending.pop(event.timer) == now_ns
            self.fired += 1
        actions = self._handle(controller, event, now_ns)
        for action in actions:
            if isinstance(action, act.SetTimer):
                self.set_again += action.timer in self._pending
                self._pending[action.timer] = action.at_ns
        return actions


@pytest.mark.parametrize("options", [{}, {"batch_hold": "always"}])
def test_a_timer_fires_only_at_the_time_that_was_set_last(
    monkeypatch: pytest.MonkeyPatch, options: Mapping[str, Any]
) -> None:
    """Timers of held batches are set again to earlier times. When each of these fired, each set one
    more, and a device under load had ever more of them."""
    timers = Timers(monkeypatch)
    run("serverless-lora", [(f"f{i % 3}", 0.004 * i) for i in range(400)], options=options)
    assert timers.fired
    assert timers.set_again
