"""The load host's side: waits for parts of replays and runs a Locust worker for each."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from systems.runtime.links.connecting import StrangerError, connect
from systems.runtime.links.link import Expected, Link
from systems.runtime.links.message import Ping, Pong
from systems.runtime.links.offset import clock_id
from systems.runtime.swept_folder import swept

from ...errors import HarnessError
from ..plan import Plan
from ..process import command, environment
from .files import Incoming, send_file
from .messages import Bye, Ended, FromHarness, Piece, Share, Stop, WorkerHello
from .tunnel import Tunnel

SILENCE_S = 15.0
"""Timeout without a message of the harness, which asks for the time every second."""


class LoadWorker:
    """Serves one run from this host. ``say`` prints progress for the user."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.link = Link(FromHarness, {}, self._closed)
        self.why = ""
        self._folder, self._say = folder, say
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._tunnel = Tunnel(self.link)
        self._port = 0
        self._incoming: Incoming | None = None
        self._plan: Plan | None = None
        self._driver: subprocess.Popen[bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = False
        self._shares = 0

    async def serve(self, host: str, port: int, key: str) -> None:
        """Serve until the harness has no more parts. Raise ``HarnessError`` if it does not answer
        or does not know ``key``, the secret of the run."""
        try:
            await connect(self.link, host, port, key)
        except StrangerError as error:
            raise HarnessError(
                f"load-worker: lost the harness at {host}:{port}: {error}"
            ) from error
        except OSError as error:
            raise HarnessError(f"load-worker: cannot connect to {host}:{port}: {error}") from error
        self._port = await self._tunnel.listen()
        self.link.expect(self._between_shares())
        self.link.send(WorkerHello(clock_id()))
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

    def _always(self) -> Expected:
        return {Ping: self._ping, Bye: self._bye, Stop: self._stop, **self._tunnel.carries}

    def _between_shares(self) -> Expected:
        return {**self._always(), Share: self._share}

    def _ping(self, ping: Ping) -> None:
        self._heard = self._loop.time()
        self.link.send(Pong(ping.asked_ns, time.monotonic_ns()))

    def _share(self, share: Share) -> None:
        """Prepare for a part of a replay; its schedule follows."""
        self._shares += 1
        here = self._folder / str(self._shares)
        here.mkdir()
        plan = share.plan
        changes = {
            "schedule": here / plan.schedule.name,
            "out_dir": here,
            "master_port": self._port,
            "web_port": None,
        }
        self._plan = plan.model_copy(update=changes)
        self._incoming = Incoming(here, plan.schedule.name)
        self.link.expect({**self._always(), Piece: self._piece})

    def _piece(self, piece: Piece) -> None:
        assert self._plan is not None, "a share comes before its schedule"
        assert self._incoming is not None, "a share comes before its schedule"
        if self._incoming.take(piece):
            self.link.expect(self._always())
            self._spawn(self._run(self._plan))

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, plan: Plan) -> None:
        """Run a Locust worker to its end, then send what it recorded."""
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
        self.link.expect(self._between_shares())
        self.link.send(Ended(status))

    def _stop(self, message: Stop | None = None) -> None:  # noqa: ARG002
        """End the running part; what was recorded so far is sent."""
        if self._driver is not None and self._driver.poll() is None:
            self._driver.terminate()

    def _bye(self, message: Bye) -> None:  # noqa: ARG002
        self._done = True
        self.link.close()

    def _closed(self, why: str) -> None:
        self.why = why


async def _until(event: asyncio.Event, limit_s: float) -> None:
    await asyncio.wait([asyncio.ensure_future(event.wait())], timeout=limit_s)


def serve(host: str, port: int, key: str, say: Callable[[str], None]) -> None:
    """Serve one run from this host."""

    async def run(folder: Path) -> None:
        await LoadWorker(folder, say).serve(host, port, key)

    with swept("slbench-load-") as folder:
        asyncio.run(run(folder))
