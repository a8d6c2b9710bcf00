"""The gateway process: ``python -m systems.serverless.live.gateway CONFIG``.

CONFIG is a file in a folder of its own that holds a ``GatewayConfig``.
Once the endpoint accepts requests, the gateway prints one line, a ``Listening`` or a
``StartFailed``, and nothing after that; before, a ``Compiling`` for each shape of kernels that is
compiled, and a ``Preparing`` every few seconds while it waits for what the deployment asked for. It
ends on SIGTERM, on SIGINT, and when its parent ends, also before it has answered. On a cluster,
agents connect to ``nodes_port``; requests wait for the first node.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import shutil
import signal
import sys
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
import uvloop
from aiohttp.http_exceptions import HttpProcessingError

from systems.access import AccessTokens, check_address
from systems.errors import SystemsError
from systems.interface import Deployment
from systems.runtime import process
from systems.runtime.cards import Cards
from systems.runtime.http.api import Api
from systems.runtime.http.listening import listening
from systems.runtime.http.text import Text
from systems.runtime.journal import Journal
from systems.runtime.links import secret
from systems.runtime.links.message import one_line
from systems.runtime.metrics import Metrics
from systems.runtime.sandbox import measures
from systems.serverless.options import Options

from ..core.cluster_spec import HOST
from ..core.policies import PolicySet
from ..core.policies.registry import policy_set
from . import containers, kernel_cache, mps, prewarmed
from .cluster.registry import AgentRegistry, offer_of
from .node import Node
from .nodes import Reports
from .plan import Plan, make_plan, without_devices
from .platform import Platform
from .start_messages import Compiling, GatewayConfig, Listening, Preparing, StartFailed, write
from .weights.auditing import Account


async def serve(config: GatewayConfig) -> None:
    """Start the platform, serve until told to stop, and shut it down."""
    deployment = Deployment.model_validate(config.deployment)
    tokens = AccessTokens.of_environment()
    check_address(deployment, tokens)
    options = Options.model_validate(dict(deployment.options))
    policies = policy_set(config.policies, options)
    plan = make_plan(deployment, forks=policies.forks)
    texts = {name: Text(path) for name, path in deployment.backbones.items()}
    metrics = Metrics()
    journal = Journal(Path(config.journal), metrics)
    _note_isolation_gaps(plan, journal)
    platform, gate = _platform(plan, policies, journal)
    app = Api(platform, texts, tokens, metrics, options.caller_limits).application()
    stop = _stop_event()
    try:
        async with listening(app, deployment.host, deployment.port) as port:
            if await _done_before(stop, _prepare(plan, platform, journal)):
                nodes_port = await gate.open(config.nodes_host or "") if gate else None
                process.leave_out_of_collections()
                write(Listening(port, nodes_port), sys.stdout)
                await stop.wait()
    finally:
        if gate is not None:
            gate.close()
        await platform.close()
        journal.close()


def _note_isolation_gaps(plan: Plan, journal: Journal) -> None:
    """Journal what the options of this run give up."""
    if plan.options.mps:
        journal.isolation_gap(mps.ISOLATION_GAP)
    if plan.options.takeover != "off":
        journal.isolation_gap(containers.ISOLATION_GAP)
    if plan.options.prewarmed and any(prewarmed.readable(plan, name) for name in plan.layouts):
        journal.isolation_gap(prewarmed.ISOLATION_GAP)


def _platform(
    plan: Plan, policies: PolicySet, journal: Journal
) -> tuple[Platform, AgentRegistry | None]:
    """Return the platform with this machine's node; on a cluster, one without nodes, and the
    registry of the agents whose nodes it gets."""
    account = Account(journal, audited=plan.options.audit_s is not None)
    if plan.deployment.cluster is not None:
        platform = Platform(without_devices(plan), policies, journal)
        offer = offer_of(plan, forks=policies.forks)
        return platform, AgentRegistry(platform, journal, account, offer, secret.take())
    platform = Platform(plan, policies, journal)
    reports = Reports(
        event=platform.post,
        tokens=platform.tokens,
        isolation_gap=journal.isolation_gap,
        audit=account.take,
        metered=platform.metered,
        problem=journal.problem,
    )
    platform.join(HOST, Node(plan, Cards.here(plan.cluster.devices), reports))
    return platform, None


async def _done_before(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do ``work``, and cancel it once ``stop`` is set; return whether it is done. Raise what it
    raises."""
    doing, told = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((doing, told), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        doing.cancel()
        told.cancel()
        await asyncio.gather(doing, told, return_exceptions=True)


async def _prepare(plan: Plan, platform: Platform, journal: Journal) -> None:
    """Have what must exist before the first call. One after the other: a warm pool is filled at
    deployment and would compile kernels too."""
    await _fill_kernel_cache(plan, journal)
    await platform.deploy(lambda what: write(Preparing(one_line(what)), sys.stdout))


async def _fill_kernel_cache(plan: Plan, journal: Journal) -> None:
    """Fill the kernel cache of this machine; on a cluster each agent fills its own."""
    if plan.deployment.cluster is not None:
        return
    filled = await kernel_cache.fill(plan, lambda: write(Compiling(), sys.stdout))
    for name, value in (filled.measured if filled else {}).items():
        journal.measured(name, value)


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The parent process holds our standard input open; end of file means that it has ended.
    loop.add_reader(0, _read_stdin, loop, stop)
    return stop


def _read_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        loop.remove_reader(0)
        stop.set()


def _beside_mps(config: GatewayConfig) -> AbstractContextManager[dict[str, str]]:
    """Run MPS, if it is configured, from before the first CUDA process until after the last."""
    if not config.deployment["options"].get("mps"):
        return nullcontext({})
    return mps.running(Path(config.journal).parent / "mps")


def _tidy_up(config: Path) -> None:
    """Remove the files of this process if its parent has ended; a live parent removes them itself.
    The parent holds standard input open, so its end of file tells that the parent has ended. The
    parent pid does not: a dying process closes its files before its children get a new parent."""
    if select.select([0], [], [], 0)[0] and not os.read(0, 1):
        shutil.rmtree(config.parent, ignore_errors=True)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Keep client errors out of the log: the client is informed, and they quote its prompt."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def main() -> int:
    measures.hide_memory()
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)
    path = Path(sys.argv[1])
    try:
        return _main(msgspec.json.decode(path.read_bytes(), type=GatewayConfig))
    finally:
        _tidy_up(path)


def _main(config: GatewayConfig) -> int:
    try:
        with _beside_mps(config) as variables:
            os.environ |= variables  # the environment of the node's processes
            uvloop.run(serve(config))
    except SystemsError as error:
        write(StartFailed(str(error), type(error).__name__), sys.stdout)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
