"""Kernels are compiled before the endpoint accepts requests, once per shape; later compilations are
reported. The compiler itself is tested on a GPU (tests/gpu)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.serverless.live import kernel_cache
from systems.serverless.live.plan import Plan, make_plan


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def plan(deployment: Deployment) -> Plan:
    """A plan as if its device were a GPU."""
    card = deployment.devices[0].model_copy(update={"name": "cuda:0"})
    found = make_plan(deployment, forks=True)
    return replace(found, deployment=deployment.model_copy(update={"devices": (card,)}))


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A fake compiler that runs ``body`` in a shell, with the request on standard input."""
    program = folder / "compiler"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_it_is_filled_once_for_the_same_shapes(
    plan: Plan, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 'cd "$TRITON_CACHE_DIR" && mkdir $$-a $$-b'
    body = f'cat >> "$TRITON_CACHE_DIR.asked"; mkdir -p "$TRITON_CACHE_DIR"; {made}'
    stand_in(tmp_path, monkeypatch, body)
    first, second = (asyncio.run(kernel_cache.fill(plan)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.compiled, second.compiled) == (2, 0)
    assert second.measured["kernel_cache_entries"] == 2
    asked = Path(f"{cache}.asked").read_text(encoding="utf-8")
    assert asked.count('"max_batch_size"') == len(plan.layouts), "asked once"
    limits = plan.deployment.limits.model_copy(update={"max_context_tokens": 256})
    other = replace(plan, deployment=plan.deployment.model_copy(update={"limits": limits}))
    third = asyncio.run(kernel_cache.fill(other))
    assert third is not None
    assert third.compiled == 2, "other shapes are compiled too"


class Nvml:
    """The functions of pynvml that are used, for GPUs by UUID with their compute capabilities."""

    class NVMLError(Exception):
        pass

    def __init__(self, capabilities: dict[str, tuple[int, int]]) -> None:
        self._capabilities = capabilities

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._capabilities)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return list(self._capabilities)[index]

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:  # noqa: N802
        return self._capabilities[handle]


def test_each_kind_of_card_has_its_own_kernels_in_a_shared_cache(
    plan: Plan, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    stand_in(
        tmp_path, monkeypatch, 'cat > /dev/null; echo "$CUDA_VISIBLE_DEVICES" >> "$0.cards"; echo'
    )
    card = plan.deployment.devices[0]

    def compiled_on(*capabilities: tuple[int, int]) -> list[str]:
        """Fill the cache of a machine; return the cards on which kernels were compiled."""
        told = tmp_path / "compiler.cards"
        told.write_text("", encoding="utf-8")
        found = {f"GPU-{n}": each for n, each in enumerate(capabilities)}
        monkeypatch.setitem(sys.modules, "pynvml", Nvml(found))
        names = [f"cuda:{n}" for n in range(len(capabilities))]
        devices = tuple(card.model_copy(update={"name": name}) for name in names)
        there = plan.deployment.model_copy(update={"devices": devices})
        asyncio.run(kernel_cache.fill(replace(plan, deployment=there)))
        return told.read_text(encoding="utf-8").split()

    assert compiled_on((8, 9)) == ["GPU-0"]
    assert compiled_on((9, 0)) == ["GPU-0"], "another kind of card"
    assert compiled_on((9, 0), (8, 9)) == []
    assert sorted(compiled_on((9, 0), (8, 0), (8, 0), (10, 0))) == ["GPU-1", "GPU-3"]


def test_one_that_does_not_compile_is_told_and_tried_again(
    plan: Plan, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "cat > /dev/null; echo 'no such instruction' >&2; exit 1")
    for _ in range(2):
        with pytest.raises(DeploymentError, match="cannot be compiled: no such instruction"):
            asyncio.run(kernel_cache.fill(plan))


def test_a_compiler_that_is_no_longer_wanted_has_ended(
    plan: Plan, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, 'cat > /dev/null; echo $$ > "$0.pid"; echo; exec sleep 600')

    async def cancelled() -> int:
        told = asyncio.Event()
        filling = asyncio.create_task(kernel_cache.fill(plan, told.set))
        await told.wait()
        filling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await filling
        return int((tmp_path / "compiler.pid").read_text(encoding="utf-8"))

    assert not psutil.pid_exists(asyncio.run(cancelled()))


def test_each_shape_is_progress(
    plan: Plan, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[None] = []
    stand_in(tmp_path, monkeypatch, "cat > /dev/null; echo; echo; echo")
    asyncio.run(kernel_cache.fill(plan, lambda: told.append(None)))
    assert len(told) == 3


def test_nothing_is_compiled_for_cores(deployment: Deployment, cache: Path) -> None:
    assert asyncio.run(kernel_cache.fill(make_plan(deployment, forks=True))) is None
    assert not cache.exists()


def test_what_is_compiled_while_it_serves_is_a_warning(cache: Path) -> None:
    assert kernel_cache.warnings({}) == (), "a run on cores says nothing"
    for name in ("a", "b"):
        os.makedirs(cache / name)
    measured = {kernel_cache.ENTRIES: 2.0}
    assert kernel_cache.warnings(measured) == ()
    (cache / "c").mkdir()
    assert kernel_cache.warnings(measured)[0].startswith("1 kernels were compiled while")


def kernel(cache: Path, name: str, at: Path) -> None:
    """Put a kernel into ``cache`` whose files were written to ``at``, as Triton does."""
    (cache / name).mkdir(parents=True)
    named = {"norm.json": str(at / name / "norm.json")}
    group = cache / name / "__grp__norm.json"
    group.write_text(json.dumps({"child_paths": named}), encoding="utf-8")


def test_kernels_of_a_cache_that_was_copied_are_compiled_again(
    plan: Plan, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their files are where they were compiled, which confined processes may not read."""
    stand_in(tmp_path, monkeypatch, 'cat > /dev/null; mkdir "$TRITON_CACHE_DIR/$$"')
    kernel(cache, "own", cache)
    (cache / "damaged").mkdir()
    (cache / "damaged" / "__grp__norm.json").write_text("[]", encoding="utf-8")
    asyncio.run(kernel_cache.fill(plan))
    assert {"own", "damaged"} < set(os.listdir(cache))

    moved = tmp_path / "moved"
    shutil.copytree(cache, moved)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(moved))
    filled = asyncio.run(kernel_cache.fill(plan))
    assert filled is not None
    assert filled.compiled == 1
    assert not (moved / "own").exists()
    assert (moved / "damaged").exists(), "Triton compiles it by itself"
    assert (cache / "own").exists(), "what it was copied from is left alone"

    # Moved back, with the stamp of its first place and kernels of the second.
    shutil.rmtree(cache)
    kernel(moved, "of the other place", moved)
    moved.rename(cache)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(cache))
    filled = asyncio.run(kernel_cache.fill(plan))
    assert filled is not None
    assert filled.compiled == 1
    assert not (cache / "of the other place").exists()
