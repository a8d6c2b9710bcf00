"""A load host's side: waits for shares, and runs a Locust worker for each."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from systems.runtime.links.handshake import Knock
from systems.runtime.links.link import Message
from systems.runtime.links.offset import clock_id

from ...errors import HarnessError
from ..plan import Plan
from ..process import command, environment
from .files import send_file, take_piece
from .tunnel import KINDS, Tunnel

SILENCE_S = 15.0
"""Without a word from the harness, which asks for the time every second."""


class LoadWorker:
    """One run's work on this host. ``say`` tells people what goes on."""

    def __init__(self, key: str, folder: Path, say: Callable[[str], None]) -> None:
        self.link = Knock(key, {"clock": clock_id()}, self._hear, self._closed)
        self.why = ""
        self._folder, self._say = folder, say
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._tunnel = Tunnel(self.link)
        self._port = 0
        self._plan: Plan | None = None
        self._driver: subprocess.Popen[bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = False
        self._shares = 0

    async def serve(self, host: str, port: int) -> None:
        """Until the harness has no more to do. ``HarnessError`` where it does not answer."""
        try:
            await self._loop.create_connection(lambda: self.link, host, port)
        except OSError as error:
            raise HarnessError(f"load-worker: nobody answers at {host}:{port}: {error}") from error
        self._port = await self._tunnel.listen()
        try:
            while not self.link.closed.is_set():
                await _until(self.link.closed, SILENCE_S / 3)
                if self._loop.time() - self._heard > SILENCE_S:
                    self.link.close(f"silent for {SILENCE_S:g} s")
        finally:
            self._stop()
            self._tunnel.close()
        if not self._done:
            raise HarnessError(f"load-worker: lost the harness at {host}:{port}: {self.why}")

    def _hear(self, message: Message) -> None:
        self._heard = self._loop.time()
        kind = message["kind"]
        if kind in KINDS:
            self._tunnel.hear(message)
        else:
            _ON[kind](self, message)

    def _ping(self, message: Message) -> None:
        self.link.send("pong", asked_ns=message["asked_ns"], t_ns=time.monotonic_ns())

    def _share(self, message: Message) -> None:
        """A part in a replay; its schedule follows."""
        self._shares += 1
        here = self._folder / str(self._shares)
        here.mkdir()
        plan = Plan.model_validate(message["plan"])
        changes = {
            "schedule": here / plan.schedule.name,
            "out_dir": here,
            "master_port": self._port,
            "web_port": None,
        }
        self._plan = plan.model_copy(update=changes)

    def _file(self, message: Message) -> None:
        assert self._plan is not None, "a share comes before its schedule"
        if take_piece(message, self._plan.out_dir, frozenset({self._plan.schedule.name})):
            self._spawn(self._run(self._plan))

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, plan: Plan) -> None:
        """A Locust worker to its end; then what it recorded."""
        self._say(f"share {self._shares}: one of {plan.workers} load workers")
        with plan.log.open("wb") as log:
            self._driver = subprocess.Popen(
                command("driver", "worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment(),
            )
        assert self._driver.stdin is not None, "asked for a pipe"
        self._driver.stdin.write(f"{plan.model_dump_json()}\n".encode())
        self._driver.stdin.close()
        status = await asyncio.to_thread(self._driver.wait)
        for part in sorted(plan.out_dir.glob("client-*.arrows")):
            await send_file(self.link, part)
        self.link.send("ended", status=status)

    def _stop(self, message: Message | None = None) -> None:  # noqa: ARG002
        """End what is under way; what was recorded so far is told."""
        if self._driver is not None and self._driver.poll() is None:
            self._driver.terminate()

    def _bye(self, message: Message) -> None:  # noqa: ARG002
        self._done = True
        self.link.close()

    def _closed(self, why: str) -> None:
        self.why = why


_ON: dict[str, Callable[[LoadWorker, Message], None]] = {
    "ping": LoadWorker._ping,
    "share": LoadWorker._share,
    "file": LoadWorker._file,
    "stop": LoadWorker._stop,
    "bye": LoadWorker._bye,
}


async def _until(event: asyncio.Event, limit_s: float) -> None:
    await asyncio.wait([asyncio.ensure_future(event.wait())], timeout=limit_s)


def serve(host: str, port: int, key: str, say: Callable[[str], None]) -> None:
    """Serve one run from this host."""

    async def run(folder: Path) -> None:
        await LoadWorker(key, folder, say).serve(host, port)

    with tempfile.TemporaryDirectory(prefix="slbench-load-") as folder:
        asyncio.run(run(Path(folder)))
