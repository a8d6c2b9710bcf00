"""A node's reports on its instances, besides events, reach the gateway's system trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from systems.runtime import journal
from systems.runtime.processor import Metered
from systems.serverless.live.cluster.agent_session import Session
from systems.serverless.live.cluster.reporting import Reporter


def test_processor_time_and_problems_of_a_node_are_told(tmp_path: Path) -> None:
    """From the agent's link to the session's handlers, with clocks 1,000 ns apart."""
    heard: list[tuple[int, Metered]] = []
    written = journal.Journal(tmp_path / "journal.jsonl")
    platform = SimpleNamespace(metered=lambda *told: heard.append(told))

    async def tell() -> None:
        gate: Any = SimpleNamespace(platform=platform, journal=written)
        guest = Session(gate)
        guest.name = "node-0"
        guest._clock.heard(0, 1_000, 0)
        guest._node = SimpleNamespace(hears={}, check_instance=lambda instance: None)  # type: ignore[assignment]
        guest.link.expect(guest._in_use(guest._node))  # type: ignore[arg-type]
        link: Any = SimpleNamespace(send=guest.link._hear)
        reports = Reporter(link).reports()
        reports.metered(3, Metered(1_500, 2_500, 7))
        reports.problem("f0: its instance did what it may not")

    asyncio.run(tell())
    written.close()
    assert heard == [(3, Metered(500, 1_500, 7))]
    found = journal.read(tmp_path / "journal.jsonl").problems
    assert found == ("node-0: f0: its instance did what it may not",)
