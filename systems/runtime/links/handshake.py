"""Links whose ends have shown each other that they know the secret of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from . import secret
from .link import Link, Message

_PROOF_S = 10.0
"""For a stranger to prove that it knows the secret."""


class Door(Link):
    """The end that listens. ``on_known`` gets what the guest says of itself with its proof; then
    ``on_message`` every message. A stranger is hung up on."""

    def __init__(
        self,
        key: str,
        on_known: Callable[[Message], None],
        on_message: Callable[[Message], None],
        on_close: Callable[[str], None],
    ) -> None:
        super().__init__(self._first, on_close)
        self._key, self._on_known, self._then = key, on_known, on_message
        self._challenge = secret.challenge()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send("challenge", challenge=self._challenge)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PROOF_S, self.close, "it proved nothing")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _first(self, message: Message) -> None:
        if not secret.proves(self._key, secret.GUEST, self._challenge, message.get("proof")):
            raise ValueError("it does not know the secret of this run")
        assert self._timer is not None, "set as it came in"
        self._timer.cancel()
        self.trust(self._then)
        theirs = str(message["challenge"])
        self.send("accepted", proof=secret.proof(self._key, secret.HOST, theirs))
        self._on_known(message)


class Knock(Link):
    """The end that comes. ``about`` is what it says of itself; ``on_message`` gets every message
    once the other end has shown that it knows the secret too."""

    def __init__(
        self,
        key: str,
        about: Message,
        on_message: Callable[[Message], None],
        on_close: Callable[[str], None],
    ) -> None:
        super().__init__(self._first, on_close)
        self._key, self._about, self._then = key, about, on_message
        self._challenge = secret.challenge()

    def _first(self, message: Message) -> None:
        if message["kind"] == "challenge":
            mine = secret.proof(self._key, secret.GUEST, message["challenge"])
            self.send("answer", proof=mine, challenge=self._challenge, **self._about)
        elif secret.proves(self._key, secret.HOST, self._challenge, message.get("proof")):
            self.trust(self._then)
        else:
            raise ValueError("it does not know the secret of this run")
