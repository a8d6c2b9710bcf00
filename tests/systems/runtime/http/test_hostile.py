"""Nothing that a caller sends addresses another's memory: the endpoint refuses values outside their
bounds before any work, and only the model's name decides whose adapter is used."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from systems.access import AccessTokens
from systems.interface import Deployment, Isolation
from systems.serverless.live.plan import make_plan

from .endpoint import Backend, Endpoint, endpoint

MINE, ALL = "mine-0123456789abcdef", "all-0123456789abcdef"
HOSTILE: dict[str, list[Any]] = {
    "prompt": [
        [-1], [5, -(2**31)], [1024], [2**31], [2**64], [10**400], [5.5], [True], [None], ["5"],
        [[5, 6]], [], "", {"ids": [5]}, [5] * 600, None,
    ],
    "max_tokens": [0, -1, 2**31, 2**63, 10**400, 1.5, "many", 512],
    "temperature": [-0.1, 2.1, 1e300, float("nan"), float("inf"), "hot", [1]],
    "top_p": [0, -1, 1.1, 1e300, float("nan"), "all"],
    "seed": [2**63, -(2**63) - 1, 1.5, "now"],
    "stop": [5, [5], [[5]], ["a"] * 5, ["a" * 257], {"id": 5}],
    "stop_token_ids": [[5], [-1], [2**40]],
    "min_tokens": [5, -1],
    "logit_bias": [{"5": 100}, {"-1": 1}],
}  # fmt: skip
OTHERS = {
    "adapter": "f1", "lora": "f1", "lora_request": {"name": "f1"}, "function": "f1",
    "tenant": "other", "group": "*@tiny", "place": 2, "slot": 1, "instance": 0, "request_id": 0,
}  # fmt: skip
"""Fields that no version of the API has."""


async def refusals(at: Endpoint, field: str) -> list[tuple[Any, int]]:
    return [(value, (await at.ask(**{field: value}))[0]) for value in HOSTILE[field]]


@pytest.mark.parametrize("field", HOSTILE)
def test_values_outside_their_bounds_are_refused_before_any_work(
    field: str, deployment: Deployment
) -> None:
    async def scene() -> tuple[list[tuple[Any, int]], Backend]:
        async with endpoint(deployment) as at:
            return await refusals(at, field), at.backend

    found, backend = asyncio.run(scene())
    assert [value for value, status in found if status != 400] == []
    assert backend.calls == []


def test_no_field_but_the_model_chooses_the_adapter(deployment: Deployment) -> None:
    async def scene() -> Backend:
        async with endpoint(deployment) as at:
            for field, value in OTHERS.items():
                status, _ = await at.ask(**{field: value})
                assert status in {200, 400}, field
            await at.ask(**OTHERS)
            return at.backend

    backend = asyncio.run(scene())
    assert backend.calls
    for call in backend.calls:
        assert (call.function, list(call.prompt_ids)) == ("f0", [5, 6, 7])
        assert call.client_id == ""


@pytest.mark.parametrize("level", ["function", "tenant", "backbone"])
def test_a_caller_calls_no_function_of_another_tenant_at_any_level(
    level: Isolation, deployment: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'f0 = ["{MINE}"]\n"*" = ["{ALL}"]\n', encoding="utf-8")
    path.chmod(0o600)
    tenants = dict(zip(("f0", "f1", "f2", "f3"), ("acme", "acme", "other", "other"), strict=True))
    functions = tuple(
        each.model_copy(update={"tenant": tenants[each.id]}) for each in deployment.functions
    )
    asked = deployment.model_copy(update={"functions": functions, "isolation": level})
    groups = make_plan(asked, forks=True).cluster.groups

    async def scene() -> tuple[dict[str, int], Backend]:
        async with endpoint(asked, tokens=AccessTokens.read(path)) as at:
            others = ("f1", "f2", "tiny", "acme", "F0", "f0 ", "../f2", *groups)
            found = {name: (await at.ask(model=name, token=MINE))[0] for name in others}
            for name in ("acme@tiny", "*@tiny", "no such function"):
                assert (await at.ask(model=name, token=ALL))[0] == 404, "no group is a model"
            assert (await at.ask(model="f0"))[0] == 401
            return found, at.backend

    found, backend = asyncio.run(scene())
    own = found.pop("f0", None)
    assert own == (200 if level == "function" else None), "it is its own group at this level"
    assert set(found.values()) == {403}
    assert {call.function for call in backend.calls} <= {"f0"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("status", [401, 415], ids=["without a token", "with one"])
def test_a_compressed_body_is_not_decompressed(
    encoding: str, status: int, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was, in the event loop as it arrived, and also where the caller had no token: four of 2 MB
    kept all others waiting for seconds."""
    monkeypatch.setattr(aiohttp.http_parser, "ZLibDecompressor", _never)
    format_ = {"gzip": 31, "deflate": 15}[encoding]
    body = zlib.compress(b'{"model": "f0", "prompt": [5]}' + bytes(1 << 20), wbits=format_)
    digest = hashlib.sha256(MINE.encode()).digest()
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    if status == 415:
        headers["Authorization"] = f"Bearer {MINE}"

    async def scene() -> tuple[int, str]:
        tokens = AccessTokens({"f0": (digest,)})
        async with (
            endpoint(deployment, tokens=tokens) as at,
            at.session.post("/v1/completions", data=body, headers=headers) as response,
        ):
            return response.status, (await response.json())["error"]["code"]

    code = {401: "invalid_api_key", 415: "unsupported_encoding"}[status]
    assert asyncio.run(scene()) == (status, code)


def _never(*given: Any, **more: Any) -> Any:
    raise AssertionError("a body is decompressed")
