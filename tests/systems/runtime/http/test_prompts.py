"""A long prompt is refused before it is tokenised, or tokenised outside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from systems.interface import Deployment
from systems.runtime.http import body as bodies
from systems.runtime.http import offloop
from systems.runtime.http.text import Text

from .endpoint import Endpoint, endpoint


class Monitored(Text):
    """Counts its calls, and blocks until the test releases it."""

    def __init__(self, model_dir: Path) -> None:
        super().__init__(model_dir)
        self.longest = 1000  # so that a prompt may be long and yet fit
        self.given: list[int] = []
        self.may_go_on = threading.Event()

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        self.given.append(len(text))
        self.may_go_on.wait(20)
        return super().encode(text[:10], special=special)


@pytest.fixture
def text(tiny: Path) -> Monitored:
    return Monitored(tiny)


LONG = "hello " * 1000


BITS: dict[str, Any] = {
    "prompt": [5] * 400_000,
    "user": [5] * 400_000,
    "metadata": [""] * 400_000,
    "logit_bias": {str(id_): 1 for id_ in range(100_000)},
}
"""Of each field, a value of many small ones."""


@pytest.mark.parametrize("field", BITS)
def test_a_body_of_many_small_values_is_never_parsed(
    field: str, deployment: Deployment, text: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,600,000 token ids of a model with long tokens took the event loop 0.17 s."""
    parsed: list[int] = []
    real = bodies.parse

    def parse(model: Any, raw: bytes) -> Any:
        parsed.append(len(raw))
        return real(model, raw)

    async def ask() -> tuple[int, Any]:
        async with endpoint(deployment, texts={"tiny": text}) as at:
            return await at.ask(**{field: BITS[field]})

    monkeypatch.setattr(bodies, "parse", parse)
    status, content = asyncio.run(ask())
    assert (status, content["error"]["code"]) == (400, "too_many_values")
    assert parsed == []


@pytest.mark.parametrize("written", [",", '",', "\\,", '\\\\",', ',","'])
def test_a_text_of_many_commas_is_one_value(
    written: str, deployment: Deployment, text: Monitored
) -> None:
    text.may_go_on.set()

    async def ask() -> tuple[int, Any]:
        async with endpoint(deployment, texts={"tiny": text}) as at:
            return await at.ask(prompt=written * 40_000)

    assert asyncio.run(ask())[0] == 200


def test_what_cannot_fit_is_never_tokenised(deployment: Deployment, text: Monitored) -> None:
    text.longest = 5
    text.may_go_on.set()
    most = 5 * deployment.limits.max_context_tokens
    said = "a" * (most + 1)

    async def ask() -> list[tuple[int, Any]]:
        async with endpoint(deployment, texts={"tiny": text}) as at:
            messages = [{"role": "user", "content": said}]
            return [await at.ask(prompt=said), await at.ask("chat/completions", messages=messages)]

    for status, content in asyncio.run(ask()):
        assert status == 400
        assert content["error"]["code"] == "context_length_exceeded"
        assert f"at most {most}" in content["error"]["message"]
    assert text.given == []


def test_a_body_that_no_prompt_can_need_is_refused_unread(deployment: Deployment) -> None:
    """The header alone suffices: the response comes before any byte of the body is sent."""

    async def ask() -> bytes:
        async with endpoint(deployment) as at:
            reader, writer = await asyncio.open_connection(*at.address)
            writer.write(
                b"POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 2000000\r\n\r\n"
            )
            answer = await asyncio.wait_for(reader.readuntil(b"}}"), 10)
            writer.close()
            return answer

    answer = asyncio.run(ask())
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"body_too_large" in answer


def test_a_body_without_a_length_is_bounded_all_the_same(deployment: Deployment) -> None:
    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 50_000

    async def ask() -> int:
        async with (
            endpoint(deployment) as at,
            at.session.post("/v1/completions", data=pieces()) as response,
        ):
            assert (await response.json())["error"]["code"] == "body_too_large"
            return response.status

    assert asyncio.run(ask()) == 413


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_others_are_answered_while_a_long_prompt_is_worked_on(
    deployment: Deployment, text: Monitored, path: str
) -> None:
    messages = [{"role": "user", "content": LONG}]
    fields: Any = {"prompt": LONG} if path == "completions" else {"messages": messages}

    async def ask() -> tuple[bool, int]:
        async with endpoint(deployment, texts={"tiny": text}) as at:
            long = asyncio.create_task(at.ask(path, **fields))
            await _under_way(text, 1)
            assert await at.health() == 200
            still_at_it = not long.done() and not text.may_go_on.is_set()
            text.may_go_on.set()
            return still_at_it, (await long)[0]

    assert asyncio.run(ask()) == (True, 200)


def test_only_so_many_long_prompts_wait(
    deployment: Deployment, text: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offloop, "MOST_UNDER_WAY", 3)

    async def ask() -> tuple[list[int], Any]:
        async with endpoint(deployment, texts={"tiny": text}) as at:
            waiting = [asyncio.create_task(at.ask(prompt=LONG)) for _ in range(3)]
            await _under_way(text, offloop.THREADS)
            await at.health()  # by now the third has arrived, too
            refused = await _refused(at)
            assert (await at.ask())[0] == 200, "token ids need no tokenising"
            text.may_go_on.set()
            taken = [status for status, _ in await asyncio.gather(*waiting)]
            return taken, refused

    taken, refused = asyncio.run(ask())
    assert taken == [200, 200, 200]
    assert refused == (429, "too_many_long_prompts", "1")


async def _refused(at: Endpoint) -> Any:
    body = {"model": "f0", "prompt": LONG}
    async with at.session.post("/v1/completions", json=body) as response:
        code = (await response.json())["error"]["code"]
        return response.status, code, response.headers["Retry-After"]


async def _under_way(text: Monitored, count: int) -> None:
    async with asyncio.timeout(10):
        while len(text.given) < count:
            await asyncio.sleep(0.01)


def test_tokenising_lets_other_threads_run(tiny: Path) -> None:
    """A separate thread is not enough: tokenising must also release the interpreter lock."""
    text = Text(tiny)
    work = threading.Thread(target=text.encode, args=("hello world " * 60_000,))
    turns = 0
    work.start()
    while work.is_alive():
        turns += 1
        time.sleep(0)
    assert turns > 20
