"""The process that owns the sockets of one load worker: uvloop, no gevent, nothing but sending and
stamping. Reads its orders from standard input, tells every exchange on standard output.

    python -m harness.replay.sender PARENT WORKER
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
import time

import uvloop

from .clock import Dispatcher, LagProbe
from .frames import Captured, Finished, Message, Ready, pack
from .plan import Plan
from .pool import Pool
from .process import end_with_parent
from .requests import encode
from .schedule import Schedule
from .target import Target


class Sender:
    """One share of a schedule, from ready to finished."""

    def __init__(self, plan: Plan, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        share = Schedule.read(plan.schedule).share(worker, plan.workers)
        target = Target.parse(plan.base_url)
        self._worker, self._workers, self._loop = worker, plan.workers, loop
        self._due_ns: list[int] = share.table["scheduled_ns"].to_pylist()
        self._requests = encode(share, target, plan.headers)
        self._pool = Pool(loop, target, plan.timeout_s, self._finished)
        self._probe = LagProbe(loop)
        self._dispatcher: Dispatcher | None = None
        self._told = 0
        self._cpu_ns = 0
        self._done = loop.create_future()
        self._out: asyncio.WriteTransport | None = None

    async def run(self) -> None:
        self._out, _ = await self._loop.connect_write_pipe(asyncio.Protocol, sys.stdout.buffer)
        orders = asyncio.StreamReader()
        await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        # Reference counts free everything that matters; a collection would stall the reading.
        gc.collect()
        gc.freeze()
        gc.disable()
        self._tell(Ready(len(self._requests)))
        listener = self._loop.create_task(self._listen(orders))
        await self._done
        listener.cancel()
        self._finish()

    async def _listen(self, orders: asyncio.StreamReader) -> None:
        """One line, the absolute time of the run's start; then the end of input, which stops."""
        line = await orders.readline()
        if line:
            self._start(int(line))
            await orders.read()
        self._stop()

    def _start(self, start_ns: int) -> None:
        self._cpu_ns = time.process_time_ns()
        due_ns = [start_ns + offset for offset in self._due_ns]
        self._dispatcher = Dispatcher(self._loop, due_ns, self._send)
        self._probe.start(start_ns)
        self._dispatcher.start()
        self._check_done()

    def _send(self, index: int) -> None:
        request, self._requests[index] = self._requests[index], b""
        self._pool.send(index * self._workers + self._worker, request)

    def _finished(self, captured: Captured) -> None:
        self._told += 1
        self._tell(captured)
        self._check_done()

    def _check_done(self) -> None:
        if self._told == len(self._requests) and not self._done.done():
            self._done.set_result(None)

    def _stop(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.stop()
        self._pool.abandon("the replay was interrupted")
        if not self._done.done():
            self._done.set_result(None)

    def _finish(self) -> None:
        self._pool.close()
        self._probe.close()
        self._tell(Finished(time.process_time_ns() - self._cpu_ns, self._probe.lags_ns))

    def _tell(self, message: Message) -> None:
        assert self._out is not None, "run() opens the pipe first"
        self._out.write(pack(message))

    async def drained(self) -> None:
        """Until everything that was told has left this process."""
        while self._out is not None and self._out.get_write_buffer_size():
            await asyncio.sleep(0.001)


async def _main(plan: Plan, worker: int) -> None:
    sender = Sender(plan, worker, asyncio.get_running_loop())
    await sender.run()
    await sender.drained()


def main() -> None:
    parent, worker = int(sys.argv[1]), int(sys.argv[2])
    end_with_parent(parent)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = Plan.model_validate_json(sys.stdin.buffer.readline())
    uvloop.run(_main(plan, worker))


if __name__ == "__main__":
    main()
