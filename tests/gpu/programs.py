"""What other processes do with a shared copy: run as programs, since a process whose CUDA context
is lost, or that may not start one after a fork, must not be the one that tests."""

from __future__ import annotations

import os
import socket
import sys
import time

import torch

from systems.serverless.live import cuda_copies, cuda_store


def owner(sock: socket.socket, size: int) -> None:
    """Make a copy of known bytes, send its descriptor, and end."""
    mapping, fd = cuda_store.create(size)
    flat = mapping.tensor()
    flat[:size].copy_(torch.arange(size, device="cuda", dtype=torch.int64).to(torch.uint8))
    torch.cuda.synchronize()
    socket.send_fds(sock, [str(cuda_copies.checksum(flat[:size])).encode()], [fd])
    sock.recv(1)


def reader(sock: socket.socket, size: int) -> None:
    """Map it, tell its checksum and how long mapping took in ms."""
    torch.zeros(1, device="cuda")
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    start = time.monotonic()
    flat = cuda_store.map_shared(fds[0], size).tensor()
    took_ms = (time.monotonic() - start) * 1e3
    sock.send(f"{cuda_copies.checksum(flat[:size])} {took_ms:.3f}".encode())
    sock.recv(1)
    sock.send(str(cuda_copies.checksum(flat[:size])).encode())


def writer(sock: socket.socket, size: int) -> None:
    """Map it and store into it: the last thing that this process's context does."""
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    flat = cuda_store.map_shared(fds[0], size).tensor()
    try:
        flat[: size // 2].fill_(7)
        torch.cuda.synchronize()
    except RuntimeError as error:
        sock.send(f"refused: {type(error).__name__}".encode())
    else:
        sock.send(b"written")


if __name__ == "__main__":
    role, descriptor, bytes_ = sys.argv[1:]
    globals()[role](socket.socket(fileno=int(descriptor)), int(bytes_))
    os._exit(0)
