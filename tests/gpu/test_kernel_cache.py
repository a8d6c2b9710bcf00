"""On the card: every kernel that requests need is compiled before the endpoint answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from systems.registry import system_class

from .test_shared_on_card import ask, deployment


async def _many(url: str) -> None:
    """Send batches of several sizes to both functions and to the backbone without an adapter."""
    for together in (1, 2, 4):
        names = ("f0", "f1", "tiny") * together
        await asyncio.gather(*(ask(url, name) for name in names))


def test_a_cold_cache_is_filled_before_the_first_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    measured = []
    for _ in range(2):
        with system_class("serverless-lora")() as system:
            asyncio.run(_many(system.deploy(deployment({})).base_url))
            system_trace = system.system_trace()
        assert system_trace.warnings == ()
        measured.append(system_trace.measured)
    assert measured[0]["kernels_compiled"] > 0
    assert measured[1]["kernels_compiled"] == 0
    assert measured[1]["kernel_compilation_s"] < 0.1
