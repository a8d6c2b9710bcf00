"""A response's trace is in the journal before its last bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from systems.interface import Deployment
from systems.runtime.calls import Call, Failure, Tokens
from systems.runtime.http.api import Api
from systems.runtime.http.text import Text

ANSWERS: dict[str, list[Tokens | Failure]] = {
    "whole": [Tokens((70,), None), Tokens((71,), "length")],
    "failed at once": [Failure(503, "nobody is there")],
    "failed on the way": [Tokens((70,), None), Failure(502, "it died")],
}


@dataclass
class Order(AbstractStreamWriter):
    """A fake backend, with fixed results one per turn of the loop, and a fake socket; records the
    order of their calls."""

    plan: Any
    answers: list[Tokens | Failure]
    seen: list[str] = field(default_factory=list)

    def submit(self, **fields: Any) -> Call:
        call = Call(0, **fields)
        for turn, answer in enumerate(self.answers):
            asyncio.get_running_loop().call_later(turn / 1e3, call.answers.put, answer)
        return call

    def abandon(self, call: Call) -> None:
        pass

    def answered(self, call: Call, responded_ns: int | None) -> None:
        self.seen.append("never got there" if responded_ns is None else "kept")

    async def write(self, chunk: Any) -> None:
        self.seen.append(bytes(chunk).decode())

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.seen.append("end")

    async def drain(self) -> None:
        pass

    def enable_compression(self, *args: Any) -> None:
        pass

    def enable_chunking(self) -> None:
        pass

    async def write_headers(self, status_line: str, headers: Any) -> None:
        pass

    def send_headers(self) -> None:
        pass


def ask(deployment: Deployment, tiny: Path, answers: list[Tokens | Failure]) -> list[str]:
    order = Order(SimpleNamespace(deployment=deployment, functions={}), answers)
    order.plan.functions = {function.id: function for function in deployment.functions}
    body = b'{"model": "f0", "prompt": [5, 6], "max_tokens": 2, "stream": true}'

    async def stream() -> None:
        app = Api(order, {"tiny": Text(tiny)}).application()
        loop = asyncio.get_running_loop()
        reader = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
        reader.feed_data(body)
        reader.feed_eof()
        request = make_mocked_request(
            "POST", "/v1/completions", app=app, writer=order, payload=reader
        )
        resource = await app.router.resolve(request)
        response = await resource.handler(request)
        assert isinstance(response, web.StreamResponse)

    asyncio.run(stream())
    return order.seen


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_evidence_is_kept_once_and_before_the_last_bytes_of_a_stream(
    deployment: Deployment, tiny: Path, answers: list[Tokens | Failure]
) -> None:
    seen = ask(deployment, tiny, answers)
    assert [each for each in seen if each in ("kept", "never got there")] == ["kept"]
    last = [n for n, each in enumerate(seen) if "[DONE]" in each or '"error"' in each]
    assert all(seen.index("kept") < n for n in (*last, len(seen)))
