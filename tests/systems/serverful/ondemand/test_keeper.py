"""A proxy that ends: its servers are ended one by one, and no other transition begins meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock

from systems.serverful.ondemand.fleet import Fleet, Phase
from systems.serverful.ondemand.keeper import Keeper

KEEP_ALIVE_S = 0.05


def test_a_server_whose_keep_alive_ends_as_the_proxy_ends_is_not_put_to_sleep() -> None:
    begun: list[str] = []

    async def run(*, closed: bool) -> None:
        begun.clear()
        transitions = {
            name: AsyncMock(side_effect=lambda n=name: begun.append(n)) for name in STEPS
        }
        server: Any = SimpleNamespace(plan=SimpleNamespace(name="a"), **transitions)
        keep_alive_ns = round(KEEP_ALIVE_S * 1e9)
        fleet = Fleet("a", Phase.ASLEEP, slots=1, keep_alive_ns=keep_alive_ns, turn_ns=0)
        ledger = MagicMock(read_processes=AsyncMock())
        keeper = Keeper(fleet, {"a": server}, ledger, MagicMock())
        call: Any = SimpleNamespace(
            id=1, server="a", received_ns=0, permit=asyncio.get_running_loop().create_future()
        )
        await keeper.enter(call)
        leave_untold(keeper, call)
        if closed:
            keeper.close()
        await asyncio.sleep(4 * KEEP_ALIVE_S)

    asyncio.run(run(closed=False))
    assert begun == ["wake", "sleep"]
    asyncio.run(run(closed=True))
    assert begun == ["wake"]


STEPS = ("start", "wake", "sleep", "end")


def leave_untold(keeper: Keeper, call: Any) -> None:
    """End a call that has no trace."""
    inside = cast(Any, keeper)
    inside._act(inside._fleet.left(call.id, 0), 0)
