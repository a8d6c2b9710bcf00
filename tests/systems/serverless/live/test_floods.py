"""One caller floods a system of several tenants: it is rejected beyond its limit, the
calls of others are answered, and every request ends once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .conftest import Running

pytestmark = pytest.mark.live
FLOODER, OTHER = "flooder-0123456789abcdef", "other-0123456789abcdef"
LIMITS = {"caller_in_flight": 6, "fair_shares": True}


@pytest.fixture
def limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deploy: Callable[..., Running]
) -> Running:
    path = tmp_path / "tokens.toml"
    path.write_text(f'f0 = ["{FLOODER}"]\nf1 = ["{FLOODER}"]\nf2 = ["{OTHER}"]\n', encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv("SLBENCH_TOKENS", str(path))
    return deploy(options=LIMITS, isolation="backbone")


def test_a_flood_is_rejected_and_the_calls_of_another_are_answered(limited: Running) -> None:
    async def called(token: str, model: str, times: int) -> Counter[int]:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            asked = (limited.ask(session, model, max_tokens=40) for _ in range(times))
            return Counter(each["status"] for each in await asyncio.gather(*asked))

    async def all_of_it() -> tuple[Any, Any]:
        flood = asyncio.gather(called(FLOODER, "f0", 60), called(FLOODER, "f1", 60))
        others = [await called(OTHER, "f2", 1) for _ in range(5)]
        return await flood, sum(others, Counter())

    flood, others = asyncio.run(all_of_it())
    assert others == {200: 5}
    total = sum(flood, Counter[int]())
    assert set(total) == {200, 429}
    assert total.total() == 120
    assert 6 <= total[200] <= 20
    trace = limited.system.system_trace()
    assert sum(bool(request.spans) for request in trace.requests) == total[200] + 5
    assert limited.system.info().options["caller_in_flight"] == 6
