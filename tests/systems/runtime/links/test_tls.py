"""TLS between machines: an eavesdropper reads nothing, and a peer without the key is refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from systems.runtime.links import connecting, secret, tls
from systems.runtime.links.connecting import Listener, StrangerError, connect
from systems.runtime.links.link import Link
from systems.runtime.links.message import Message, Text

KEY = "of this run"
PROMPT = "the prompt that nobody else may read"


class Words(Message, frozen=True):
    text: Text


class Silence(Message, frozen=True):
    pass


SPOKEN = Words | Silence


class Ends:
    """A listener on loopback, and the messages that it received."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.closed: list[str] = []
        self.refused: list[str] = []
        self.links: list[Link] = []
        self.listener = Listener(KEY, self._make, self.refused.append)

    def _make(self) -> Link:
        self.links.append(Link(SPOKEN, {Words: self.heard.append}, self.closed.append))
        return self.links[-1]


def guest(heard: Callable[[Message], None] = lambda message: None) -> Link:
    return Link(SPOKEN, {Words: heard}, lambda why: None)


LOOPS = pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def meet(loop: Any, story: Callable[[Ends, int], Coroutine[Any, Any, None]]) -> Ends:
    async def played() -> Ends:
        ends = Ends()
        port = await ends.listener.open("127.0.0.1")
        try:
            await asyncio.wait_for(story(ends, port), 10)
        finally:
            ends.listener.close()
        return ends

    found: Ends = loop(played())
    return found


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.001)


class Tap:
    """A TCP proxy that records all bytes in both directions."""

    def __init__(self, port: int) -> None:
        self.seen = bytearray()
        self._port = port

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.seen += data
                writer.write(data)
        writer.close()


@LOOPS
def test_who_listens_sees_no_prompt_and_no_secret(loop: Any) -> None:
    seen = bytearray()
    answers: list[Message] = []

    async def story(ends: Ends, port: int) -> None:
        tap = Tap(port)
        link = guest(answers.append)
        await connect(link, "127.0.0.1", await tap.open(), KEY)
        link.expect({Words: answers.append})
        link.send(Words(PROMPT))
        await until(lambda: ends.heard)
        ends.links[0].send(Words(PROMPT))
        await until(lambda: answers)
        await link.finish()
        seen.extend(tap.seen)

    ends = meet(loop, story)
    assert ends.heard == answers == [Words(PROMPT)]
    assert len(seen) > 2 * len(PROMPT)
    assert PROMPT.encode() not in seen
    assert KEY.encode() not in seen
    assert not ends.refused


@LOOPS
def test_large_messages_pass_both_ways(loop: Any) -> None:
    """Messages larger than sockets, TLS records and buffers."""
    text = "x" * 100_000

    async def story(ends: Ends, port: int) -> None:
        link = guest()
        await connect(link, "127.0.0.1", port, KEY)
        link.send(Words("first"))
        await until(lambda: ends.heard)
        ends.links[0].expect({Words: ends.heard.append})
        for _ in range(20):
            link.send(Words(text))
            await link.drain()
        await until(lambda: len(ends.heard) == 21)

    assert meet(loop, story).heard[1:] == [Words(text)] * 20


@LOOPS
def test_a_guest_of_another_run_is_refused_and_named(loop: Any) -> None:
    async def story(ends: Ends, port: int) -> None:
        with pytest.raises(StrangerError, match="does not know the secret of this run"):
            await connect(guest(), "127.0.0.1", port, "of another run")
        await until(lambda: ends.refused)

    ends = meet(loop, story)
    assert not ends.heard
    assert ends.refused[0].startswith("127.0.0.1:")
    assert "secret of this run" in ends.refused[0]


def bare(certificates_of: str | None) -> ssl.SSLContext:
    """A TLS context of a client that trusts every host and has another run's key, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificates_of is not None:
        with tls._in_memory(b"".join(tls._pair(certificates_of))) as path:
            context.load_cert_chain(path)
    return context


@LOOPS
@pytest.mark.parametrize("key", [None, "of another run"], ids=["no key", "another key"])
def test_the_listening_end_checks_the_key_of_who_comes(loop: Any, key: str | None) -> None:
    """Even if the client trusts the host and wants to send it something."""

    async def story(ends: Ends, port: int) -> None:
        link = guest()
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().create_connection(
                lambda: link, "127.0.0.1", port, ssl=bare(key), server_hostname=""
            )
            link.send(Words("let me in"))
        await until(lambda: ends.refused)

    ends = meet(loop, story)
    assert not ends.heard
    assert "does not know the secret of this run" in ends.refused[0]


@LOOPS
def test_the_end_that_comes_checks_the_key_of_who_listens(loop: Any) -> None:
    """An impostor with another run's key accepts every client, but receives nothing."""
    heard: list[bytes] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async def story(ends: Ends, port: int) -> None:
        context = tls.server_context("of another run")
        context.verify_mode = ssl.CERT_NONE
        server = await asyncio.start_server(impostor, "127.0.0.1", 0, ssl=context)
        theirs = server.sockets[0].getsockname()[1]
        link = guest()
        with pytest.raises(StrangerError, match="does not know the secret of this run"):
            await connect(link, "127.0.0.1", theirs, KEY)
        link.send(Words(PROMPT))
        server.close()

    meet(loop, story)
    assert heard in ([], [b""])


@LOOPS
@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x02{}", b"\x16\x03"])
def test_who_speaks_no_tls_is_refused_and_named(loop: Any, words: bytes) -> None:
    async def story(ends: Ends, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(words)
        writer.write_eof()
        await reader.read(1000)
        await until(lambda: ends.refused)
        writer.close()

    ends = meet(loop, story)
    assert not ends.heard
    assert ends.refused[0].startswith("127.0.0.1:")
    assert "no TLS" in ends.refused[0] or "hung up" in ends.refused[0]


@LOOPS
def test_who_stalls_in_the_handshake_is_refused_in_time(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "HANDSHAKE_S", 0.1)

    async def story(ends: Ends, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16")
        await until(lambda: ends.refused)
        assert await reader.read(1000) == b""
        writer.close()

    assert "did not complete its handshake" in meet(loop, story).refused[0]


@LOOPS
def test_a_host_that_stalls_in_the_handshake_is_given_up(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "HANDSHAKE_S", 0.1)
    with silent() as port:

        async def story(ends: Ends, _: int) -> None:
            with pytest.raises(StrangerError, match="did not complete its handshake"):
                await connect(guest(), "127.0.0.1", port, KEY)

        meet(loop, story)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that accepts a connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
        thread.start()
        yield server.getsockname()[1]
        thread.join()
        accepted[0].close()


@LOOPS
def test_many_who_stall_keep_nobody_out(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_MOST_STRANGERS", 4)

    async def story(ends: Ends, port: int) -> None:
        stalled = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        link = guest()
        await connect(link, "127.0.0.1", port, KEY)
        link.send(Words("here"))
        await until(lambda: ends.heard)
        assert len(ends.listener._strangers) <= 4
        for _, writer in stalled:
            writer.close()

    meet(loop, story)


def test_every_machine_makes_the_same_certificate_of_one_secret() -> None:
    made = tls._pair(KEY)
    tls._pair.cache_clear()
    assert tls._pair(KEY) == made
    assert tls._pair(secret.make()) != made


def test_both_ends_ask_for_tls_1_3_and_a_certificate() -> None:
    for context in (tls.server_context(KEY), tls.client_context(KEY)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
