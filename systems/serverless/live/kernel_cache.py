"""Triton's kernel cache, filled before the endpoint answers.

The first process of a machine that needs a kernel compiles it, beside whatever else runs there: a
first run had a mean TTFT of 2,029 ms where the fifth had 324. So a process of its own compiles all
of them at deployment (:mod:`.compiler`). A stamp in the cache says that this was done for the same
kernels, shapes and versions. A run during which kernels were compiled all the same says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import systems.engine.cuda
from systems.errors import DeploymentError
from systems.runtime import process

from .plan import Plan

ENTRIES = "kernel_cache_entries"
"""The name in ``Evidence.measured``: entries of the cache when the endpoint answered."""
_STAMP = "slbench-"


@dataclass(frozen=True, slots=True)
class Filled:
    """``compiled``: new entries of the cache, 0 where it was warm; ``seconds``: what that took."""

    compiled: int
    seconds: float
    entries: int

    @property
    def measured(self) -> Mapping[str, float]:
        """As in ``Evidence.measured``."""
        return {
            ENTRIES: self.entries,
            "kernels_compiled": self.compiled,
            "kernel_compilation_s": self.seconds,
        }


def folder() -> Path:
    """Where Triton keeps compiled kernels for this user."""
    home = os.environ.get("TRITON_HOME") or Path.home()
    return Path(os.environ.get("TRITON_CACHE_DIR") or Path(home) / ".triton" / "cache")


def entries() -> int:
    """How many folders the cache has: one for each kernel as compiled for one set of shapes."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder()) as found:
        return sum(entry.is_dir() for entry in found)
    return 0


def doubts(measured: Mapping[str, float]) -> tuple[str, ...]:
    """What a run must say where kernels were compiled while it served; ``measured`` is its own."""
    late = entries() - int(measured[ENTRIES]) if ENTRIES in measured else 0
    told = f"{late} kernels were compiled while requests were served: the kernel cache was cold"
    return (told,) if late > 0 else ()


async def fill(plan: Plan) -> Filled | None:
    """Have compiled what instances of ``plan`` will launch; None where they launch nothing, on
    cores. Raises ``DeploymentError`` where a kernel does not compile."""
    if plan.device != "cuda":
        return None
    start, before, wanted = time.monotonic(), entries(), _wanted(plan)
    stamp = folder() / f"{_STAMP}{_digest(wanted)}"
    if not stamp.exists():
        await _compile(wanted)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    now = entries()
    return Filled(now - before, time.monotonic() - start, now)


def _wanted(plan: Plan) -> list[dict[str, Any]]:
    """For each backbone what :func:`~systems.engine.cuda.rehearsal.rehearse` is called with. A
    backbone's own function, which has no adapter, may always be called."""
    limits = plan.deployment.limits
    found = []
    for name, layout in plan.layouts.items():
        slots = {
            (files.rank, tuple(sorted(files.targets)))
            for function, files in plan.adapters.items()
            if plan.functions[function].backbone == name
        }
        found.append(
            {
                "config": layout.config.model_dump_json(),
                "dtype": layout.dtype,
                "slots": [None, *sorted(slots)],
                "max_batch_size": limits.max_batch_size,
                "max_context_tokens": limits.max_context_tokens,
            }
        )
    return found


def _digest(wanted: list[dict[str, Any]]) -> str:
    """Of all that decides which kernels are compiled, and how."""
    found = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode())
    for package in ("torch", "triton"):
        with contextlib.suppress(PackageNotFoundError):
            found.update(version(package).encode())
    for source in sorted(Path(systems.engine.cuda.__path__[0]).glob("*.py")):
        found.update(source.read_bytes())
    return found.hexdigest()[:16]


async def _compile(wanted: list[dict[str, Any]]) -> None:
    command = [sys.executable, "-m", "systems.serverless.live.compiler", str(os.getpid())]
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=process.environment(),
    )
    try:
        _, said = await child.communicate(json.dumps(wanted).encode())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        raise
    if child.returncode:
        words = said.decode(errors="replace").strip().splitlines()
        last = words[-1] if words else f"exit status {child.returncode}"
        raise DeploymentError(f"the card's kernels cannot be compiled: {last}")
