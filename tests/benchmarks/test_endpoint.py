"""Time that the HTTP server adds to a request: the backend answers at once, and requests follow
each other on one connection. By prompt: token ids, a short text, a long text (tokenized off the
event loop)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from systems.interface import Deployment
from tests.systems.runtime.http.endpoint import endpoint

PROMPTS: dict[str, Any] = {
    "ids": list(range(5, 133)),
    "short": "Tell me of the sea. " * 5,
    "2000": "Tell me of the sea. " * 100,
    "2100": "Tell me of the sea. " * 105,
}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_request_through_the_endpoint(
    benchmark: BenchmarkFixture, deployment: Deployment, prompt: str
) -> None:
    with asyncio.Runner() as runner:
        context = endpoint(deployment)
        at = runner.run(context.__aenter__())

        def ask() -> int:
            status, _ = runner.run(at.ask(prompt=PROMPTS[prompt], max_tokens=2))
            return status

        try:
            assert benchmark(ask) == 200
        finally:
            runner.run(context.__aexit__(None, None, None))
