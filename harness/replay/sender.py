"""The process that owns the sockets of one load worker: uvloop, no gevent; it only sends and
timestamps. Reads messages from standard input, writes every exchange to standard output.

  python -m harness.replay.sender PARENT
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
import time

import uvloop

from ..errors import HarnessError
from .clock import Dispatcher, LagProbe
from .frames import Batch, Captured, Finished, Loaded, Message, Ready, Settings, Start, pack
from .frames import read_async as read
from .pool import Pool
from .process import end_with_parent, preempt_others
from .target import Target
from .user_loop import UserLoop


class Sender:
    """Runs one share of a schedule, from its first message to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, out: asyncio.WriteTransport) -> None:
        self._loop, self._out = loop, out
        self._rows: list[int] = []
        self._due_ns: list[int] = []
        """After the start of the run; absolute once it has started."""
        self._user_starts_ns: list[int] = []
        self._think_ns = 0
        self._servers: list[int] = []
        self._requests: list[bytes] = []
        self._pools: list[Pool] = []
        self._probe = LagProbe(loop)
        self._dispatcher: Dispatcher | UserLoop | None = None
        self._told = 0
        self._cpu_ns = 0
        self._done: asyncio.Future[None] = loop.create_future()

    async def run(self, orders: asyncio.StreamReader) -> None:
        """Run the share to its end. Raise what orders raise, such as a server that is no URL:
        without that, nothing would tell that no request is ever sent."""
        listener = self._loop.create_task(self._listen(orders))
        await asyncio.wait((self._done, listener), return_when=asyncio.FIRST_COMPLETED)
        if not self._done.done():
            listener.result()
        listener.cancel()
        for pool in self._pools:
            pool.close()
        self._probe.close()
        self._tell(Finished(time.process_time_ns() - self._cpu_ns, self._probe.lags_ns))
        while self._out.get_write_buffer_size():
            await asyncio.sleep(0.001)

    def stop(self) -> None:
        """Stop sending and end the exchanges in progress."""
        if self._dispatcher is not None:
            self._dispatcher.stop()
        for pool in self._pools:
            pool.abandon("the replay was interrupted")
        if not self._done.done():
            self._done.set_result(None)

    async def _listen(self, orders: asyncio.StreamReader) -> None:
        while True:
            match await read(orders):
                case Settings(base_urls, timeout_s, starts_ns, think_ns):
                    self._user_starts_ns, self._think_ns = starts_ns, think_ns
                    targets = map(Target.parse, base_urls)
                    self._pools = [
                        Pool(self._loop, target, timeout_s, self._finished) for target in targets
                    ]
                case Batch(rows, due_ns, servers, requests):
                    self._rows += rows
                    self._due_ns += due_ns
                    self._servers += servers
                    self._requests += requests
                case Loaded():
                    _no_collections()
                    self._tell(Ready())
                case Start(at_ns):
                    self._start(at_ns)
                case _:
                    self.stop()
                    return

    def _start(self, at_ns: int) -> None:
        self._cpu_ns = time.process_time_ns()
        self._due_ns = [at_ns + offset for offset in self._due_ns]
        self._dispatcher = self._dispatcher_from(at_ns)
        self._probe.start(at_ns)
        self._dispatcher.start()
        self._check_done()

    def _dispatcher_from(self, at_ns: int) -> Dispatcher | UserLoop:
        if not self._user_starts_ns:
            return Dispatcher(self._loop, self._due_ns, self._send)
        starts_ns = [at_ns + offset for offset in self._user_starts_ns]
        return UserLoop(self._loop, starts_ns, self._think_ns, self._due_ns, self._send)

    def _send(self, index: int) -> None:
        request, self._requests[index] = self._requests[index], b""
        row, due_ns = self._rows[index], self._due_ns[index]
        self._pools[self._servers[index]].send(row, request, due_ns)

    def _finished(self, captured: Captured) -> None:
        self._told += 1
        self._tell(captured)
        if self._dispatcher is not None:
            self._dispatcher.ended(captured.end_ns)
        self._check_done()

    def _check_done(self) -> None:
        if self._told == len(self._requests) and not self._done.done():
            self._done.set_result(None)

    def _tell(self, message: Message) -> None:
        self._out.write(pack(message))


def _no_collections() -> None:
    """Disable garbage collection, which would delay reading; reference counts free what matters."""
    gc.collect()
    gc.freeze()
    gc.disable()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    out, _ = await loop.connect_write_pipe(asyncio.Protocol, sys.stdout.buffer)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer)
    sender = Sender(loop, out)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sender.stop)
    await sender.run(orders)


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    preempt_others()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        uvloop.run(_main())
    except HarnessError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
