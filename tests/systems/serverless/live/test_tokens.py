"""If access tokens are set, a caller needs a token of the function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.registry import system_class

from .conftest import Running

pytestmark = pytest.mark.live
MINE, ALL = "mine-0123456789abcdef", "all-0123456789abcdef"


@pytest.fixture
def guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deploy: Callable[..., Running]
) -> Running:
    path = tmp_path / "tokens.toml"
    path.write_text(f'f0 = ["{MINE}"]\n"*" = ["{ALL}"]\n', encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv("SLBENCH_TOKENS", str(path))
    return deploy()


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


def test_a_system_listens_to_other_machines_only_with_tokens(deployment: Deployment) -> None:
    system = system_class("serverless-lora")()
    with pytest.raises(DeploymentError, match="no access tokens are set"):
        system.deploy(deployment.model_copy(update={"host": "0.0.0.0"}))
