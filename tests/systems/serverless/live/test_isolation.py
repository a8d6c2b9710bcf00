"""Processes that map the shared backbone cannot write to it, and it is in memory only once; the
measures that confine them are in force."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import mmap
import os
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from systems.engine.checkpoint import plan_layout
from systems.interface import MemoryOwner
from systems.runtime.sandbox import confine, measures, users
from systems.serverless.live.weights import store

from .conftest import Running, looks_inside


def sealed(content: bytes) -> int:
    fd = store.create("backbone:test", len(content))
    mapping = store.map_writable(fd)
    mapping[:] = content
    mapping.close()
    store.seal(fd)
    return fd


def end_of(child: Callable[[], None]) -> int:
    """Run ``child`` in a forked process; return its exit code (``waitstatus_to_exitcode``)."""
    pid = os.fork()
    if pid == 0:
        faulthandler.disable()
        child()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def address_of(mapping: mmap.mmap) -> int:
    """The address of a read-only mapping; ctypes supports only writable buffers."""

    class PyBuffer(ctypes.Structure):
        _fields_ = (
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.py_object),
            ("rest", ctypes.c_byte * 64),
        )

    buffer = PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(mapping), ctypes.byref(buffer), 0)
    address = buffer.buf
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    assert address is not None
    return address


def test_a_store_into_the_mapping_kills_the_writer_and_changes_nothing() -> None:
    content = bytes(range(256)) * 64
    fd = sealed(content)

    def write() -> None:
        ctypes.memset(address_of(store.map_shared(fd)), 0xFF, 64)

    assert end_of(write) == -signal.SIGSEGV
    assert bytes(store.map_shared(fd)) == content
    os.close(fd)


def test_no_other_way_in_is_left() -> None:
    fd = sealed(b"weights!" * 512)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    mapping = store.map_shared(fd)
    address = ctypes.c_void_p(address_of(mapping))
    assert libc.mprotect(address, 4096, mmap.PROT_READ | mmap.PROT_WRITE) == -1
    assert bytes(mapping[:8]) == b"weights!"
    os.close(fd)


def test_an_unsealed_backbone_is_not_mapped() -> None:
    fd = store.create("backbone:test", 4096)
    with pytest.raises(PermissionError, match="not sealed"):
        store.map_shared(fd)
    os.close(fd)


def hard_limits(pid: int) -> dict[str, str]:
    """Return what the kernel says of the limits of a process of any user (proc_pid_limits(5))."""
    _, *rows = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    return {row[:26].strip(): row[26:].split()[1] for row in rows}


def warm(up: Callable[..., Running]) -> Running:
    """Return a system with instances of three functions."""
    running = up()

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for name in ("f0", "f1", "f2"):
                assert (await running.ask(session, name))["status"] == 200

    asyncio.run(ask())
    return running


@pytest.mark.live
def test_what_the_manifest_says_is_in_force_in_each_instance(
    up: Callable[..., Running],
) -> None:
    """Read from the kernel's data on the serving processes."""
    running = warm(up)
    assert running.system.info().confinement == confine.names("cpu")
    assert len(running.instances()) == 3
    for instance in running.instances():
        text = Path(f"/proc/{instance.pid}/status").read_text(encoding="utf-8")
        status = dict(line.split(":\t", 1) for line in text.splitlines())
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2", "SECCOMP_MODE_FILTER"
        kept = 1 << 2 if users.available() else 0  # CAP_DAC_READ_SEARCH
        assert all(int(status[name], 16) in (0, kept) for name in ("CapPrm", "CapEff", "CapInh"))
        assert int(status["Uid"].split()[0]) in (os.getuid(), users.FIRST + instance.pid)
        assert (int(status["CapEff"], 16) == 0) == (status["Uid"].split()[0] == str(os.getuid()))
        limits = hard_limits(instance.pid)
        assert int(limits["Max open files"]) <= measures.MAX_DESCRIPTORS
        assert limits["Max core file size"] == "0"
        assert limits["Max address space"] != "unlimited"
        for standard in (1, 2):
            printed = Path(f"/proc/{instance.pid}/fd/{standard}").readlink()
            assert str(printed).startswith("pipe:"), "and no file that it could fill a disk with"


@looks_inside
@pytest.mark.live
def test_instances_of_a_shared_backbone_map_the_same_pages(
    up: Callable[..., Running],
) -> None:
    running = warm(up)
    inodes = set()
    for process in running.instances():
        lines = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if "memfd:backbone:tiny" in line]
        assert line.split()[1] == "r--s", "readable and shared, nothing else"
        inodes.add(line.split()[4])
    assert len(running.instances()) == 3
    assert len(inodes) == 1


@looks_inside
@pytest.mark.live
def test_the_instances_together_hold_one_backbone(up: Callable[..., Running], tiny: Path) -> None:
    """From the kernel's counters: the proportional sizes of all mappings sum to one backbone."""
    size = plan_layout(tiny, "float32").nbytes
    for name, asked, copies in (
        ("serverless-lora", ("f0", "f1", "f2"), 1),
        ("serverless-llm", ("f0", "f1"), 0),
    ):
        running = up(name)

        async def warm(running: Running = running, asked: tuple[str, ...] = asked) -> None:
            async with aiohttp.ClientSession() as session:
                await asyncio.gather(*(running.ask(session, function) for function in asked))

        asyncio.run(warm())
        mapped = sum(mapped_pss(process.pid) for process in running.instances())
        assert mapped == pytest.approx(copies * size, rel=0.01)
        weights = [
            step
            for step in running.system.system_trace().memory
            if step.owner is MemoryOwner.WEIGHTS and step.bytes
        ]
        assert [step.bytes for step in weights] == [size] * (1 if copies else len(asked))


def mapped_pss(pid: int) -> int:
    """This process's proportional share of the shared backbone, in bytes."""
    lines = iter(Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines())
    for line in lines:
        if "memfd:backbone" in line:
            pss = next(each for each in lines if each.startswith("Pss:"))
            return int(pss.split()[1]) * 1024
    return 0
