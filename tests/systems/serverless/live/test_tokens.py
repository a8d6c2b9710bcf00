"""If access tokens are set, a caller needs a token of the function. One caller floods a system: it
is rejected beyond its limit, the calls of others are answered, and every request ends once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.registry import system_class

from .conftest import Running, deployed

pytestmark = pytest.mark.live
MINE, OTHER, ALL = (f"{name}-0123456789abcdef" for name in ("mine", "other", "all"))
LIMITS = {"caller_in_flight": 6, "fair_shares": True}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, deployment: Deployment) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    path.write_text(f'f0 = ["{MINE}"]\nf2 = ["{OTHER}"]\n"*" = ["{ALL}"]\n', "utf-8")
    path.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLBENCH_TOKENS", str(path))
        changed = deployment.model_copy(update={"options": LIMITS, "isolation": "backbone"})
        with deployed("serverless-lora", changed) as running:
            yield running


def test_a_flood_is_rejected_and_the_calls_of_another_are_answered(guarded: Running) -> None:
    """The first of this module: while the system starts, few calls can be answered."""

    async def called(token: str, model: str, times: int) -> Counter[int]:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            asked = (guarded.ask(session, model, max_tokens=40) for _ in range(times))
            return Counter(each["status"] for each in await asyncio.gather(*asked))

    async def all_of_it() -> tuple[Any, Any]:
        flood = asyncio.gather(called(ALL, "f0", 60), called(ALL, "f1", 60))
        others = [await called(OTHER, "f2", 1) for _ in range(5)]
        return await flood, sum(others, Counter())

    flood, others = asyncio.run(all_of_it())
    assert others == {200: 5}
    total = sum(flood, Counter[int]())
    assert set(total) == {200, 429}
    assert total.total() == 120
    assert 6 <= total[200] <= 20
    trace = guarded.system.system_trace()
    assert sum(bool(request.spans) for request in trace.requests) == total[200] + 5
    assert guarded.system.info().options["caller_in_flight"] == 6


def test_calls_are_answered_by_token(guarded: Running) -> None:
    async def status(token: str | None, model: str) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            return int((await guarded.ask(session, model))["status"])

    async def names(headers: Any) -> list[str]:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{guarded.url}/v1/models") as response,
        ):
            return [model["id"] for model in (await response.json())["data"]]

    async def all_of_it() -> None:
        assert await status(None, "f0") == 401
        assert await status("wrong-0123456789abc", "f0") == 401
        assert await status(MINE, "f1") == 403
        assert await status(MINE, "no such function") == 403, "as if there were one"
        assert await status(MINE, "f0") == 200
        assert await names({"Authorization": f"Bearer {MINE}"}) == ["f0"]
        assert "f1" in await names(guarded.endpoint.headers)

    asyncio.run(all_of_it())


def test_tokens_are_in_nothing_that_is_kept_or_that_others_see(guarded: Running) -> None:
    family = [guarded.processes(), guarded.endpoint, guarded.system.info()]
    commands = [process.cmdline() for process in guarded.processes()]
    gateway = Path(f"/proc/{guarded.endpoint.pids[0]}/cmdline").read_text(encoding="utf-8")
    config = Path(gateway.split("\0")[-2])
    told = json.dumps([repr(family), commands, gateway, config.read_text(encoding="utf-8")])
    assert MINE not in told
    assert ALL not in told


def test_a_system_listens_to_other_machines_only_with_tokens(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLBENCH_TOKENS", raising=False)
    system = system_class("serverless-lora")()
    with pytest.raises(DeploymentError, match="no access tokens are set"):
        system.deploy(deployment.model_copy(update={"host": "0.0.0.0"}))
