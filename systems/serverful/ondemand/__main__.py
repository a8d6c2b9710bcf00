"""The proxy: ``python -m systems.serverful.ondemand CONFIG``, a JSON file (``config.Config``).

It listens once its servers sleep, or at once if they start at their first call. It ends on SIGTERM,
with all its servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import uvloop

from systems.runtime.http.listening import listening
from systems.runtime.journal import Journal
from systems.runtime.metrics import Metrics

from ..ending import exit_status
from .card import Card
from .config import Config
from .fleet import Fleet, Phase
from .keeper import Keeper
from .ledger import Ledger
from .proxy import Proxy
from .server import SleepingServer

_NS = 1_000_000_000


async def serve(config: Config) -> None:
    """Serve until this task is cancelled. Raise ``SystemsError`` if a server does not start."""
    # Each server that starts keeps a thread, and its end and what it holds need others meanwhile.
    threads = ThreadPoolExecutor(2 * len(config.servers) + 4)
    asyncio.get_running_loop().set_default_executor(threads)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
    ) as session:
        servers = {each.name: SleepingServer(each, config, session) for each in config.servers}
        metrics = Metrics()
        journal = Journal(Path(config.journal), metrics)
        ledger = Ledger(config, _card(config.device), journal)
        keeper = Keeper(_fleet(config), servers, ledger, journal)
        try:
            if config.start == "deployment":
                # As many at once as may be awake: while they start, they are.
                names = list(servers)
                for first in range(0, len(names), config.slots):
                    await keeper.deploy(names[first : first + config.slots])
            app = Proxy(config, keeper, session, metrics).application()
            async with listening(app, config.host, config.port):
                await asyncio.gather(keeper.watch(), keeper.meter())
        finally:
            keeper.close()
            await keeper.read()
            await asyncio.gather(*(each.end() for each in servers.values()))
            journal.close()


def _card(device: str) -> Card | None:
    return Card(device) if device.startswith("cuda") else None


def _fleet(config: Config) -> Fleet:
    return Fleet(
        [each.name for each in config.servers],
        Phase.ASLEEP if config.start == "deployment" else Phase.OFF,
        slots=config.slots,
        keep_alive_ns=round(config.keep_alive_s * _NS),
        turn_ns=round(config.turn_s * _NS),
        sleeps=config.sleeps,
    )


async def _until_told(config: Config) -> None:
    task = asyncio.ensure_future(serve(config))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> int:
    config = Config.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return exit_status(lambda: uvloop.run(_until_told(config)))


if __name__ == "__main__":
    sys.exit(main())
