"""What ran: with which code, machine, versions, seeds and prices, and whether it counts."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .schema import VERSION

_PACKAGES = ("serverless-lora-bench", "torch", "transformers", "peft", "locust", "aiohttp")


class Manifest(BaseModel):
    """One cell's. Keys are those of the contract; a mode is never left to be guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: int = Field(default=VERSION, alias="schema")
    run_id: str
    mode: Literal["live", "simulated"]
    experiment: str
    system: Mapping[str, Any]
    workload: Mapping[str, Any]
    schedule_sha256: str
    deployment: Mapping[str, Any]
    seed: int
    repeat: int = 0
    prices: Mapping[str, Any]
    profile: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    telemetry: Mapping[str, Any] | None = None
    """How memory was sampled from outside, at which cost, and which sensors were missing."""
    nodes: tuple[Mapping[str, Any], ...] | None = None
    """Of a system on a cluster: its machines, the offset of each clock from the gateway's and the
    error of that, and which sensors were missing there."""
    load_hosts: tuple[Mapping[str, Any], ...] | None = None
    """Other hosts that load came from: the offset of each clock from the harness's and the error
    of that, which is the error of every time that it told."""
    machine: Mapping[str, Any] = Field(default_factory=lambda: machine())
    versions: Mapping[str, str] = Field(default_factory=lambda: versions())
    git: Mapping[str, Any] | None = Field(default_factory=lambda: git())
    started_at: str
    valid: bool
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    """What makes one wonder and does not make the cell invalid."""
    measured: Mapping[str, float] = Field(default_factory=dict)
    """What the system measured of itself, as in ``Evidence.measured``."""
    files: Mapping[str, str] | None = None
    """SHA-256 of the cell's other files by name; None of cells from before it was kept."""


def machine() -> dict[str, Any]:
    """The machine that this process runs on; a GPU and its driver where there is one."""
    import psutil

    gpu, driver = _gpu()
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "gpu": gpu,
        "driver": driver,
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git(source: Path = Path(__file__)) -> dict[str, Any] | None:
    """The commit of the checkout that tracks ``source``, and whether it was changed since. None
    where none does: installed into somebody else's checkout, this code has no commit of its own.
    ``SLBENCH_COMMIT`` says it of a copy that came without its history."""
    if told := os.environ.get("SLBENCH_COMMIT"):
        return {"commit": told.removesuffix("-dirty"), "dirty": told.endswith("-dirty")}
    folder = source.parent
    try:
        _git(folder, "ls-files", "--error-unmatch", source.name)
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _gpu() -> tuple[str | None, str | None]:
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return str(pynvml.nvmlDeviceGetName(handle)), str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None, None
