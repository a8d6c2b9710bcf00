"""The Locust process: local runner, master or worker, by the second argument.

  python -m harness.replay.driver PARENT solo|master|worker

Reads a plan from standard input, and a master the lines after it. The controlling process writes
its progress to standard output, one JSON object per line.
"""

from __future__ import annotations

# Locust patches the standard library on import; later imports must see it patched.
import locust  # noqa: F401  # isort: skip

import logging
import signal
import sys
from collections.abc import Iterable
from typing import Any

import gevent
from gevent.fileobject import FileObject
from locust.env import Environment

from .driver_controller import Controller
from .driver_worker import Worker
from .plan import Plan
from .process import end_with_parent
from .user import ReplayUser

_HOST = "127.0.0.1"
_STOP_S = 5.0


def _solo(plan: Plan, env: Environment, _: Iterable[bytes]) -> None:
    env.create_local_runner()
    worker, controller = Worker(plan, env), Controller(plan, env)
    _on_signals(worker.stop)
    _with_page(plan, env, controller)


def _master(plan: Plan, env: Environment, lines: Iterable[bytes]) -> None:
    env.create_master_runner(_HOST, plan.master_port)
    controller = Controller(plan, env)
    _on_signals(controller.stop)
    gevent.spawn(controller.heed, lines)
    _with_page(plan, env, controller)


def _worker(plan: Plan, env: Environment, _: Iterable[bytes]) -> None:
    runner = env.create_worker_runner(_HOST, plan.master_port)
    worker = Worker(plan, env)
    _on_signals(worker.leave)
    runner.greenlet.join()


def _with_page(plan: Plan, env: Environment, controller: Controller) -> None:
    page = env.create_web_ui(_HOST, plan.web_port) if plan.web_port else None
    try:
        controller.run()
    finally:
        if page is not None:
            page.stop()


def _on_signals(stop: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop)


_ROLES = {"solo": _solo, "master": _master, "worker": _worker}


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    lines = FileObject(sys.stdin.fileno(), "rb", closefd=False)
    plan = Plan.model_validate_json(lines.readline())
    env = Environment(user_classes=[ReplayUser], host=plan.base_url, stop_timeout=_STOP_S)
    _ROLES[sys.argv[2]](plan, env, lines)


if __name__ == "__main__":
    main()
