"""What this machine offers: control groups, and device memory by process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from systems.runtime import process
from systems.runtime.sandbox import control_group

_MIB = 1 << 20


def print_all(device: str) -> None:
    on_card = (_print_memory, _print_remapping) if device == "cuda" else ()
    for part in (_print_groups, *on_card):
        try:
            part()
        except Exception as error:
            print(f"{part.__name__}: {type(error).__name__}: {error}", flush=True)


def _print_groups() -> None:
    print("own group:", Path("/proc/self/cgroup").read_text().split(), flush=True)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    print("\n".join(line for line in mounts if "cgroup2" in line), flush=True)
    print("groups can bound memory:", control_group.available(), flush=True)


def _print_memory() -> None:
    """Share 1 GiB from an owner to a reader, as backbones are shared; print the driver's count."""
    import pynvml

    size = 1 << 30
    processes, ends = zip(*(program(role, size) for role in ("owner", "reader")), strict=True)
    _, fds, _, _ = socket.recv_fds(ends[0], 64, 1)
    socket.send_fds(ends[1], [b"map"], fds)
    os.close(fds[0])
    ends[1].recv(64)
    time.sleep(0.5)
    pynvml.nvmlInit()
    card = pynvml.nvmlDeviceGetHandleByIndex(0)
    print("owner, reader:", [each.pid for each in processes], flush=True)
    for found in pynvml.nvmlDeviceGetComputeRunningProcesses(card):
        print(f"driver: pid {found.pid} uses {found.usedGpuMemory}", flush=True)
    print("used in all:", pynvml.nvmlDeviceGetMemoryInfo(card).used, flush=True)
    for end in ends:
        end.send(b"x")
        end.close()
    for each in processes:
        each.wait(20)


def program(role: str, size: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [
            sys.executable,
            "-m",
            "tests.gpu.programs",
            role,
            str(theirs.fileno()),
            str(size),
        ]
        env = process.environment()  # no allocator may start a thread
        return subprocess.Popen(command, pass_fds=[theirs.fileno()], env=env), ours


def _print_remapping() -> None:
    told, found, after = remapped(64 * _MIB)
    print("remapping:", found, "checksum before and after:", told, after, flush=True)


def remapped(size: int) -> tuple[int, dict[str, str], int]:
    """Let a confined reader of a copy make its mapping writable; return the copy's checksum before,
    what the driver answered, and the checksum after."""
    processes, ends = zip(*(program(role, size) for role in ("owner", "remapper")), strict=True)
    told, fds, _, _ = socket.recv_fds(ends[0], 64, 1)
    socket.send_fds(ends[1], [b"map"], fds)
    os.close(fds[0])
    found = json.loads(ends[1].recv(4096))
    ends[0].send(b"s")
    after = int(ends[0].recv(64))
    for end, each in zip(ends, processes, strict=True):
        end.close()
        each.wait(20)
    return int(told), found, after
