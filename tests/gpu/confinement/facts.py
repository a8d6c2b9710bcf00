"""What this machine offers: control groups, and device memory by process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from systems.runtime.sandbox import control_group

_MIB = 1 << 20


def print_all(device: str) -> None:
    on_card = (_print_memory, _print_remapping) if device == "cuda" else ()
    for part in (_print_groups, _print_limit, *on_card):
        try:
            part()
        except Exception as error:
            print(f"{part.__name__}: {type(error).__name__}: {error}", flush=True)


def _print_groups() -> None:
    print("own group:", Path("/proc/self/cgroup").read_text().split(), flush=True)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    print("\n".join(line for line in mounts if "cgroup2" in line), flush=True)
    print("groups can bound memory:", control_group.available(), flush=True)


def _print_limit() -> None:
    """Let a child without capabilities join a group of 256 MiB and take 1 GiB."""
    program = (
        "from systems.runtime.sandbox import measures, control_group\n"
        f"measures.keep_capabilities(); control_group.enter(); control_group.bound({256 * _MIB})\n"
        f"held = [bytearray({16 * _MIB}) for _ in range(64)]; print('took 1 GiB')"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as child:
        out, err = child.communicate(timeout=20)
    control_group.remove(child.pid)
    print("1 GiB in a group of 256 MiB: status", child.returncode, out, err[-200:], flush=True)


def _print_memory() -> None:
    """Share 1 GiB from an owner to a reader, as backbones are shared; print the driver's count."""
    import pynvml

    size = 1 << 30
    processes, ends = zip(*(_program(role, size) for role in ("owner", "reader")), strict=True)
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


def _program(role: str, size: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
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
        return subprocess.Popen(command, pass_fds=[theirs.fileno()]), ours


def _print_remapping() -> None:
    """Let a confined reader of a copy try to make its mapping writable."""
    size = 64 * _MIB
    processes, ends = zip(*(_program(role, size) for role in ("owner", "remapper")), strict=True)
    told, fds, _, _ = socket.recv_fds(ends[0], 64, 1)
    socket.send_fds(ends[1], [b"map"], fds)
    os.close(fds[0])
    print("remapping:", ends[1].recv(4096).decode(), flush=True)
    ends[0].send(b"s")
    print("checksum before and after:", told.decode(), ends[0].recv(64).decode(), flush=True)
    for end, each in zip(ends, processes, strict=True):
        end.close()
        each.wait(20)
