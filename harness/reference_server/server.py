"""The server: plays a script per request and logs when each token was sent.

It uses asyncio's own loop, whose transports write to the socket at once. uvloop's write at the end
of the turn, which would make the embedded times too early.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools

from . import wire
from .behaviours import UnknownBehaviourError, script_for
from .script import Request, Script, Step, refusal

_NS = 1e9
_SPLIT_NS = 1_000_000


@dataclass(slots=True)
class Entry:
    """The log of one request; absolute monotonic nanoseconds. ``sent``: for each piece with text,
    the time at which its last byte was passed to the socket, and its token ids."""

    request_id: str
    model: str
    received_ns: int
    head_ns: int = 0
    sent: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    end_ns: int = 0


class Player:
    """Sends one script, then calls ``over()``."""

    def __init__(
        self, script: Script, entry: Entry, transport: asyncio.Transport, over: Any
    ) -> None:
        self._script, self._entry, self._transport, self._over = script, entry, transport, over
        self._loop = asyncio.get_running_loop()
        self._writes = _writes(script)
        self._next = 0
        self._due_s = self._loop.time()
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._script.head_after_ns is None:
            self._wait()
        else:
            self._later(self._script.head_after_ns, self._send_head)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _later(self, after_ns: int, call: Any, *arguments: Any) -> None:
        """Schedule on the script's own clock: a late write does not delay the next one."""
        self._due_s += after_ns / _NS
        self._handle = self._loop.call_at(self._due_s, call, *arguments)

    def _wait(self) -> None:
        if self._next == len(self._writes):
            self._end()
        else:
            self._later(self._writes[self._next][0], self._write)

    def _send_head(self) -> None:
        self._entry.head_ns = time.monotonic_ns()
        self._transport.write(wire.head(self._script))
        self._wait()

    def _write(self) -> None:
        _, pieces = self._writes[self._next]
        self._next += 1
        prefix = b"" if self._entry.head_ns else wire.head(self._script)
        now_ns = time.monotonic_ns()
        self._entry.head_ns = self._entry.head_ns or now_ns
        data = b"".join(wire.stamped(rendered, now_ns) for _, rendered in pieces)
        if self._script.split:
            first, second = wire.halves(data)
            self._transport.write(prefix + wire.chunk(first))
            self._later(_SPLIT_NS, self._complete, second, pieces)
        else:
            self._transport.write(prefix + wire.chunk(data))
            self._log(now_ns, pieces)
            self._wait()

    def _complete(self, data: bytes, pieces: list[tuple[Step, wire.Rendered]]) -> None:
        now_ns = time.monotonic_ns()
        self._transport.write(wire.chunk(data))
        self._log(now_ns, pieces)
        self._wait()

    def _log(self, now_ns: int, pieces: list[tuple[Step, wire.Rendered]]) -> None:
        self._entry.sent += [(now_ns, step.ids) for step, _ in pieces if step.ids]

    def _end(self) -> None:
        self._entry.end_ns = time.monotonic_ns()
        if self._script.ending == "end":
            self._transport.write(wire.END)
            self._over()
        elif self._script.ending == "cut":
            self._transport.abort()


def _writes(script: Script) -> list[tuple[int, list[tuple[Step, wire.Rendered]]]]:
    """Group steps that are 0 ns apart; rendered except for the send time."""
    writes: list[tuple[int, list[tuple[Step, wire.Rendered]]]] = []
    for step in script.steps:
        piece = (step, wire.render(step, script.newline))
        if writes and not step.after_ns:
            writes[-1][1].append(piece)
        else:
            writes.append((step.after_ns, [piece]))
    return writes


class Connection(asyncio.Protocol):
    """HTTP/1.1, one request at a time."""

    def __init__(self, log: list[Entry]) -> None:
        self._log = log
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._player: Player | None = None
        self._reset()

    def _reset(self) -> None:
        self._url, self._body, self._id = b"", b"", ""
        self._received_ns = 0
        self._player = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._player is not None:
            self._player.cancel()

    def data_received(self, data: bytes) -> None:
        self._received_ns = self._received_ns or time.monotonic_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # A defect of this class.
        except httptools.HttpParserError as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        assert self._transport is not None, "data come over a connection"
        self._transport.write(wire.whole(400, json.dumps({"error": f"no HTTP: {error}"}).encode()))
        self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-request-id":
            self._id = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None, "a message comes over a connection"
        if self._url == b"/log":
            body = json.dumps([_as_json(entry) for entry in self._log]).encode()
            self._log.clear()
            self._transport.write(wire.whole(200, body))
            self._reset()
        else:
            self._answer(self._transport)

    def _answer(self, transport: asyncio.Transport) -> None:
        entry = Entry(self._id, "", self._received_ns)
        try:
            request = _request(self._id, self._url.endswith(b"/chat/completions"), self._body)
            entry.model = request.model
            script = script_for(request)
        except UnknownBehaviourError as error:
            script = refusal(404, str(error))
        except (ValueError, KeyError, TypeError) as error:
            script = refusal(400, f"not a streaming completion request: {error!r}")
        self._log.append(entry)
        self._player = Player(script, entry, transport, self._reset)
        self._player.start()


def _request(request_id: str, chat: bool, body: bytes) -> Request:
    content = json.loads(body)
    prompt = _prompt(content, chat)
    if not content["stream"] or not prompt:
        raise ValueError("stream must be true and the prompt not empty")
    return Request(
        id=request_id,
        model=content["model"],
        prompt=prompt,
        max_tokens=int(content["max_tokens"]),
        include_usage=bool((content.get("stream_options") or {}).get("include_usage")),
        chat=chat,
    )


def _prompt(content: Mapping[str, Any], chat: bool) -> tuple[int, ...]:
    """Return token ids; those of text are the code points of its characters."""
    prompt = "".join(m["content"] for m in content["messages"]) if chat else content["prompt"]
    return tuple(map(ord, prompt)) if isinstance(prompt, str) else tuple(prompt)


def _as_json(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


async def serve(host: str, port: int, announce: Any) -> None:
    """Serve until cancelled. Calls ``announce(port)`` once it listens."""
    log: list[Entry] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(log), host, port, backlog=4096)
    announce(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()
