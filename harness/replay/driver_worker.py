"""A load worker of Locust: its share of the requests, and the controller's messages."""

from __future__ import annotations

from typing import Any

import gevent
from locust.env import Environment

from .messages import StartAt, taken
from .plan import Plan
from .process import pin
from .user import ReplayUser, Share

_STOP_S = 5.0


class Worker:
    """Gives the user class its share, and forwards the controller's messages to the share."""

    def __init__(self, plan: Plan, env: Environment) -> None:
        runner = env.runner
        self._offset_ns = plan.clock_offset_ns
        pin(plan.cores_of(plan.worker))
        self._share = Share(plan, plan.worker, env.events, runner.send_message)
        runner.register_message("replay_start", self._start)
        runner.register_message("replay_stop", lambda **_: self.stop())
        env.events.test_stopping.add_listener(lambda **_: self.stop())
        ReplayUser.share.set(self._share)
        self._runner = runner

    def leave(self) -> None:
        """Handle a termination signal, which the kernel also sends if the master dies. Stops the
        share; its results are reported if the master still runs, and written to disk in any case.
        """
        self.stop()
        gevent.spawn(self._quit)

    def _quit(self) -> None:
        self._share.ended.wait(_STOP_S)
        self._runner.quit()

    def stop(self) -> None:
        self._share.stop()

    def _start(self, msg: Any, **_: Any) -> None:
        self._share.start(taken(msg.data, StartAt).start_ns + self._offset_ns)
