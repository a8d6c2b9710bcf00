"""Fills Triton's kernel cache before the endpoint accepts requests.

Otherwise the first process that needs a kernel compiles it, next to everything else that runs on
the machine: a first run had a mean TTFT of 2,029 ms, the fifth run 324. So a separate process
compiles all kernels at deployment (:mod:`.compiler`), on one GPU of each compute capability. A
stamp in the cache records the kernels, shapes, versions and capability that were compiled. A run
that compiled kernels nevertheless gets a warning.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import systems.engine.cuda
from systems.engine.cuda.kernel_folder import folder
from systems.errors import DeploymentError
from systems.runtime import cards, process

from ..core.cluster_spec import GroupSpec
from . import copied_kernels
from .plan import Plan

Slot = tuple[int, tuple[str, ...]] | None
"""Rank and targets of the adapter slots of an engine; None: it has none."""
ENTRIES = "kernel_cache_entries"
"""Key in ``SystemTrace.measured``: cache entries when the endpoint became ready."""
_STAMP = "slbench-"


@dataclass(frozen=True, slots=True)
class Filled:
    """``compiled``: new cache entries, 0 if it was warm; ``seconds``: the time that this took."""

    compiled: int
    seconds: float
    entries: int

    @property
    def measured(self) -> Mapping[str, float]:
        """Return the values for ``SystemTrace.measured``."""
        return {
            ENTRIES: self.entries,
            "kernels_compiled": self.compiled,
            "kernel_compilation_s": self.seconds,
        }


def entries() -> int:
    """Count the directories of the cache: one per kernel and set of shapes."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder()) as found:
        return sum(entry.is_dir() for entry in found)
    return 0


def warnings(measured: Mapping[str, float]) -> tuple[str, ...]:
    """Return a warning if kernels were compiled while the run of ``measured`` served requests. The
    cache does not tell by whom: other platforms of the machine have the same one."""
    late = entries() - int(measured[ENTRIES]) if ENTRIES in measured else 0
    told = (
        f"{late} kernels were compiled while requests were served: the kernel cache was cold, or"
        " another platform on the machine filled it"
    )
    return (told,) if late > 0 else ()


async def fill(plan: Plan, on_progress: Callable[[], object] = lambda: None) -> Filled | None:
    """Compile all kernels that instances of ``plan`` will launch; return None on CPU devices. Call
    ``on_progress`` after each shape. Raise ``DeploymentError`` if a kernel does not compile."""
    if plan.device != "cuda":
        return None
    start, wanted = time.monotonic(), _wanted(plan)
    kinds = cards.one_of_each_kind(device.name for device in plan.deployment.devices)
    stamps = {card: folder() / f"{_STAMP}{_digest(wanted, kind)}" for kind, card in kinds.items()}
    if copied_kernels.remove(folder()):
        # They were of whatever any stamp stands for.
        for stamp in folder().glob(f"{_STAMP}*"):
            stamp.unlink(missing_ok=True)
    missing = {card: stamp for card, stamp in stamps.items() if not stamp.exists()}
    before = entries()
    for card, stamp in missing.items():
        await _compile(wanted, card, on_progress)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    now = entries()
    return Filled(now - before, time.monotonic() - start, now)


def _wanted(plan: Plan) -> list[dict[str, Any]]:
    """Return the arguments of :func:`~systems.engine.cuda.rehearsal.rehearse` for each backbone and
    batch limit of its groups. Includes the backbone's own function without adapter, since it can
    always be called."""
    slots: defaultdict[tuple[str, int], set[Slot]] = defaultdict(set)
    for group in plan.cluster.groups.values():
        slots[group.backbone, group.batch_limit].add(_slot(plan, group))
    return [
        {
            "config": plan.layouts[backbone].config.model_dump_json(),
            "dtype": plan.layouts[backbone].dtype,
            "slots": sorted(found, key=str),
            "max_batch_size": batch_limit,
            "max_context_tokens": plan.deployment.limits.max_context_tokens,
        }
        for (backbone, batch_limit), found in slots.items()
    ]


def _slot(plan: Plan, group: GroupSpec) -> Slot:
    shape = plan.places_shapes[group.id]
    there = group.places or group.adapter_bytes
    return (shape.rank, shape.targets) if there else None


def _digest(wanted: list[dict[str, Any]], capability: int | None) -> str:
    """Return a digest of everything that determines the compiled kernels. ``capability``: of the
    GPU, since Triton's entries are for one; a home folder may be shared by machines with others."""
    found = hashlib.sha256(json.dumps([wanted, capability], sort_keys=True).encode())
    for package in ("torch", "triton"):
        with contextlib.suppress(PackageNotFoundError):
            found.update(version(package).encode())
    for source in sorted(Path(systems.engine.cuda.__path__[0]).glob("*.py")):
        found.update(source.read_bytes())
    return found.hexdigest()[:16]


async def _compile(
    wanted: list[dict[str, Any]], card: str, on_progress: Callable[[], object]
) -> None:
    """Compile on the GPU of UUID ``card``; "": on the first that this process sees."""
    command = [sys.executable, "-m", "systems.serverless.live.compiler", str(os.getpid())]
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=process.environment(card),
    )
    try:
        _, said = await asyncio.gather(
            _feed(child, json.dumps(wanted).encode(), on_progress), _of(child.stderr).read()
        )
        await child.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    if child.returncode:
        words = said.decode(errors="replace").strip().splitlines()
        last = words[-1] if words else f"exit status {child.returncode}"
        raise DeploymentError(f"the GPU kernels cannot be compiled: {last}")


async def _feed(
    child: asyncio.subprocess.Process, wanted: bytes, on_progress: Callable[[], object]
) -> None:
    """Send the compiler its request and read its progress to the end."""
    assert child.stdin is not None
    with contextlib.suppress(ConnectionError):
        child.stdin.write(wanted)
        await child.stdin.drain()
        child.stdin.close()
    async for _ in _of(child.stdout):
        on_progress()


def _of(pipe: asyncio.StreamReader | None) -> asyncio.StreamReader:
    assert pipe is not None, "asked for a pipe"
    return pipe
