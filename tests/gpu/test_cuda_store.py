"""One copy of weights on the card, mapped read-only by many processes: reads and stores."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from systems.runtime.cards import handles

SIZE = 1 << 30

Start = Callable[[str], socket.socket]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a role of ``programs`` in a process and returns its socket."""
    running: list[subprocess.Popen[bytes]] = []
    sockets: list[socket.socket] = []

    def begin(role: str) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = [sys.executable, "-m", "tests.gpu.programs", role]
        command = [*program, str(theirs.fileno()), str(SIZE)]
        running.append(subprocess.Popen(command, pass_fds=[theirs.fileno()]))
        theirs.close()
        sockets.append(ours)
        ours.settimeout(120)
        return ours

    yield begin
    for each in sockets:
        each.close()
    for process in running:
        process.kill()
        process.wait()


def made(start: Start) -> tuple[socket.socket, int, int]:
    owner = start("owner")
    text, fds, _, _ = socket.recv_fds(owner, 64, 1)
    return owner, int(text), fds[0]


def test_an_instance_sees_the_same_bytes_without_a_copy(start: Start) -> None:
    owner, checksum, fd = made(start)
    reader = start("reader")
    socket.send_fds(reader, [b"map"], [fd])
    found, took_ms = reader.recv(64).split()
    assert int(found) == checksum
    print(f"mapped {SIZE >> 20} MiB in {took_ms.decode()} ms")
    owner.send(b"x")


def test_a_copy_outlives_its_maker(start: Start) -> None:
    owner, checksum, fd = made(start)
    owner.send(b"x")
    assert owner.recv(1) == b""
    reader = start("reader")
    socket.send_fds(reader, [b"map"], [fd])
    assert int(reader.recv(64).split()[0]) == checksum


def test_a_store_fails_in_the_process_that_tries_and_in_no_other(start: Start) -> None:
    owner, checksum, fd = made(start)
    reader, writer = start("reader"), start("writer")
    for each in (reader, writer):
        socket.send_fds(each, [b"map"], [fd])
    assert int(reader.recv(64).split()[0]) == checksum
    assert writer.recv(64).startswith(b"refused")
    reader.send(b"x")
    assert int(reader.recv(64)) == checksum
    late = start("reader")
    socket.send_fds(late, [b"map"], [fd])
    assert int(late.recv(64).split()[0]) == checksum
    owner.send(b"x")


def test_by_ipc_another_process_sees_the_same_bytes(start: Start) -> None:
    keeper, borrower = start("keeper"), start("borrower")
    checksum, handle = keeper.recv(256).split()
    borrower.send(handle)
    assert borrower.recv(64) == checksum
    borrower.send(b"r")
    assert borrower.recv(64) == b"done"
    keeper.send(b"x")
    assert keeper.recv(64) == checksum


def test_by_ipc_a_store_is_not_refused_as_the_documentation_says(start: Start) -> None:
    keeper, borrower = start("keeper"), start("borrower")
    checksum, handle = keeper.recv(256).split()
    borrower.send(handle)
    borrower.recv(64)
    borrower.send(b"w")
    assert borrower.recv(64) == b"done"
    keeper.send(b"x")
    assert keeper.recv(64) != checksum, "an audit would notice"


def test_memory_comes_back_once_nobody_maps_it(start: Start) -> None:
    """Drop the copy while an instance still has a view of it."""

    def used() -> int:
        import pynvml

        (card, *_) = handles()
        return int(pynvml.nvmlDeviceGetMemoryInfo(card).used)

    owner, _, fd = made(start)
    lodger = start("lodger")
    socket.send_fds(lodger, [b"map"], [fd])
    lodger.recv(64)
    owner.send(b"x")
    assert owner.recv(1) == b""
    os.close(fd)
    held = used()
    lodger.send(b"x")
    assert lodger.recv(64) == b"let go"
    assert held - used() > SIZE * 0.9
    lodger.send(b"x")


def test_memory_of_its_own_goes_with_the_last_view_whatever_torch_still_holds() -> None:
    import torch

    from systems.engine.cuda import device_mapping

    torch.zeros(1, device="cuda")
    before = torch.cuda.mem_get_info()[0]
    flat = device_mapping.own(SIZE + 12345).given_up()
    view = flat[1000:2000]
    kept = torch.zeros(300_000, device="cuda")
    del flat
    assert before - torch.cuda.mem_get_info()[0] > SIZE
    del view
    torch.cuda.empty_cache()
    assert before - torch.cuda.mem_get_info()[0] < SIZE // 10
    assert float(kept.sum()) == 0.0
