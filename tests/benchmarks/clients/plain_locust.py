"""Unmodified Locust, FastHttpUser with ``iter_lines``: URL MODEL RATE COUNT PROMPT_TOKENS TOKENS.

Uses a hundred users, each with its share of the rate (``constant_throughput``), as in Locust's
manual. Each user decides when its next request starts; there is no common schedule."""

from __future__ import annotations

import locust  # noqa: F401  # isort: skip  # patches the standard library

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from locust import FastHttpUser, constant_throughput, task
from locust.env import Environment

_USERS = 100
_REST_S = 2.0
"""Time for the last responses to end."""
_TIMED: list[tuple[float, float]] = []


def user(url: str, body: dict[str, Any], rate: int, count: int, done: Any) -> type[FastHttpUser]:
    class Streaming(FastHttpUser):  # type: ignore[misc]
        host = url
        wait_time = constant_throughput(rate / _USERS)
        begun = 0

        @task  # type: ignore[untyped-decorator]
        def complete(self) -> None:
            if Streaming.begun == count:
                return
            Streaming.begun += 1
            start = time.monotonic()
            answer = self.client.iter_lines("/v1/completions", "POST", json=body)
            lines = (line for line in answer if line.startswith("data: {"))
            next(lines)
            _TIMED.append((start, (time.monotonic() - start) * 1e3))
            for line in lines:
                json.loads(line[6:])
            if len(_TIMED) == count:
                done.set()

    return Streaming


def main() -> None:
    url, model, *numbers = sys.argv[1:]
    rate, count, prompt_tokens, tokens = map(int, numbers)
    body = {"model": model, "prompt": list(range(prompt_tokens)), "max_tokens": tokens}
    done = gevent.event.Event()
    streaming = user(url, {**body, "stream": True}, rate, count, done)
    runner = Environment(user_classes=[streaming]).create_local_runner()
    runner.start(_USERS, spawn_rate=rate)
    done.wait()
    gevent.sleep(_REST_S)
    runner.quit()
    Path("timed.json").write_text(json.dumps(_TIMED))


if __name__ == "__main__":
    main()
