"""The manifest of a cell: code, machine, versions, seeds, prices, and whether the cell is valid."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from systems.runtime import cards

from .schema import VERSION

_PACKAGES = ("serverless-lora-bench", "torch", "transformers", "peft", "locust", "aiohttp")


class Manifest(BaseModel):
    """One cell's manifest. Keys are those of the contract; ``mode`` is always explicit."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: int = Field(default=VERSION, alias="schema")
    run_id: str
    mode: Literal["live", "simulated"]
    experiment: str
    system: Mapping[str, Any]
    workload: Mapping[str, Any]
    schedule_sha256: str
    load: Mapping[str, Any] = Field(default_factory=lambda: {"loop": "open"})
    """``open``: each request at its own time; ``closed``: ``users`` with ``think_s``, ``ramp_s``.
    Cells from before this field are open."""
    deployment: Mapping[str, Any]
    isolation: str | None = None
    """The isolation level; None for a system without levels, and in cells from before levels."""
    groups: Mapping[str, tuple[str, ...]] | None = None
    """The functions of each group, which may share an instance, by the group's id; None as for
    ``isolation``."""
    level_gaps: tuple[str, ...] | None = None
    """What the isolation level gives up compared with ``function``, a line each; None as for
    ``isolation``, and in cells from before this field."""
    seed: int
    repeat: int = 0
    sweep: Mapping[str, bool | int | float | str | None] | None = None
    """The cell's point of its experiment's sweep: key → value, which the workload's name includes.
    None without a sweep, and in cells from before sweeps."""
    prices: Mapping[str, Any]
    profile: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    telemetry: Mapping[str, Any] | None = None
    """How memory was sampled from outside, the cost of sampling, and missing sensors."""
    nodes: tuple[Mapping[str, Any], ...] | None = None
    """For a system on a cluster: its machines, each clock's offset from the gateway's with its
    error, and missing sensors."""
    load_hosts: tuple[Mapping[str, Any], ...] | None = None
    """Other hosts that sent load: each clock's offset from the harness's and its error, which is
    also the error of every time that the host reported."""
    # Read once a process: none of them changes for the code that it runs.
    machine: Mapping[str, Any] = Field(default_factory=cache(lambda: machine()))
    versions: Mapping[str, str] = Field(default_factory=cache(lambda: versions()))
    git: Mapping[str, Any] | None = Field(default_factory=cache(lambda: git()))
    started_at: str
    valid: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Warnings; they do not make the cell invalid."""
    measured: Mapping[str, float] = Field(default_factory=dict)
    """What the system measured itself, from ``SystemTrace.measured``."""
    files: Mapping[str, str] | None = None
    """SHA-256 of the cell's other files by name; None for cells from before digests existed."""

    @property
    def label(self) -> str:
        """The label of the system's choice. In cells from before labels, the system's name."""
        return str(self.system.get("label", self.system["name"]))

    @property
    def gpus(self) -> str:
        """The GPUs of a live run's deployment in words, of those that its machine has; "": none."""
        devices = self.deployment.get("devices", ())
        used = sum(str(each["name"]).startswith("cuda") for each in devices)
        told = str(self.machine.get("gpu") or "")
        if not used or not told or self.mode == "simulated":
            return ""
        if "," in told:
            return f"{used} of {told}"
        kind = told.rpartition(" × ")[2]
        return f"one {kind}" if used == 1 else f"{used} × {kind}"


def machine() -> dict[str, Any]:
    """Describe the machine that runs this process; GPU and driver are None if there is none."""
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
    """Return the commit of the checkout that tracks ``source`` and whether it is dirty. None if no
    checkout does, for example if the package is installed inside another project.
    ``SLBENCH_COMMIT`` sets the commit of a copy without history."""
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
        names = [str(pynvml.nvmlDeviceGetName(handle)) for handle in cards.handles()]
        return counted(names), str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None, None


def counted(names: Iterable[str]) -> str | None:
    """Name the cards of a machine, those of one name once with their number; None: it has none."""
    told = [f"{count} × {name}" if count > 1 else name for name, count in Counter(names).items()]
    return ", ".join(told) or None
