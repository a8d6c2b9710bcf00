"""Programs that use a shared copy of weights in other processes. The test process cannot do this
itself: it could lose its CUDA context, and a fork of it cannot create one."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import time

import torch

from systems.engine.cuda import device_mapping, peers, virtual
from systems.runtime.sandbox import confine
from systems.serverless.live.weights import cuda_copies
from systems.serverless.live.weights.handle import SharedWeightsHandle


def owner(sock: socket.socket, size: int) -> None:
    """Make a copy of known bytes, send its checksum and descriptor, and end when told to."""
    mapping, fd = device_mapping.create(size)
    flat = mapping.tensor()
    flat[:size].copy_(torch.arange(size, device="cuda", dtype=torch.int64).to(torch.uint8))
    torch.cuda.synchronize()
    socket.send_fds(sock, [str(cuda_copies.checksum(flat[:size])).encode()], [fd])
    if sock.recv(1) == b"s":
        sock.send(str(cuda_copies.checksum(flat[:size])).encode())


def reader(sock: socket.socket, size: int) -> None:
    """Map the copy, and send its checksum and the mapping time (ms); send the checksum again."""
    torch.zeros(1, device="cuda")
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    start = time.monotonic()
    flat = device_mapping.map_shared(fds[0], size).tensor()
    took_ms = (time.monotonic() - start) * 1e3
    sock.send(f"{cuda_copies.checksum(flat[:size])} {took_ms:.3f}".encode())
    sock.recv(1)
    sock.send(str(cuda_copies.checksum(flat[:size])).encode())


def copier(sock: socket.socket, size: int) -> None:
    """Copy a copy into memory of this process's first device, and send the checksum and the time
    (ms) since the descriptor came."""
    flat = device_mapping.create(size)[0].tensor()[:size]
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    start = time.monotonic()
    assert peers.copy_from(fds[0], flat), "the cards reach each other"
    took_ms = (time.monotonic() - start) * 1e3
    sock.send(f"{cuda_copies.checksum(flat)} {took_ms:.3f}".encode())


def keeper(sock: socket.socket, size: int) -> None:
    """Make a copy of known bytes for cudaIpc, send its handle, and stay until told to end."""
    flat, weights_handle = cuda_copies.make(size, "cuda-ipc")
    flat.copy_(torch.arange(size, device="cuda", dtype=torch.int64).to(torch.uint8))
    torch.cuda.synchronize()
    sock.send(f"{cuda_copies.checksum(flat)} {weights_handle.handle}".encode())
    sock.recv(1)
    torch.cuda.synchronize()
    sock.send(str(cuda_copies.checksum(flat)).encode())


def borrower(sock: socket.socket, size: int) -> None:
    """Map a copy by its handle, send its checksum, and store into it if told to."""
    handle = sock.recv(256).decode()
    flat = cuda_copies.map_shared(SharedWeightsHandle(handle=handle), size)
    sock.send(str(cuda_copies.checksum(flat)).encode())
    if sock.recv(1) == b"w":
        flat[size // 2] += 1
        torch.cuda.synchronize()
    sock.send(b"done")


def lodger(sock: socket.socket, size: int) -> None:
    """Map a copy and drop it while a view of it remains; then drop the view. The test reads the
    free memory of the card before and after."""
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    flat = cuda_copies.map_shared(SharedWeightsHandle(fds[0]), size)
    view = flat[: size // 4].view(torch.float16)
    del flat
    sock.send(str(float(view[:8].float().sum())).encode())
    sock.recv(1)
    del view
    gc.collect()
    sock.send(b"let go")
    sock.recv(1)


def writer(sock: socket.socket, size: int) -> None:
    """Map the copy and store into it, which ends the CUDA context of this process."""
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    flat = device_mapping.map_shared(fds[0], size).tensor()
    try:
        flat[: size // 2].fill_(7)
        torch.cuda.synchronize()
    except RuntimeError as error:
        sock.send(f"refused: {type(error).__name__}".encode())
    else:
        sock.send(b"written")


def remapper(sock: socket.socket, size: int) -> None:
    """As an instance, map the copy; then try to make it writable, by its address alone."""
    confine.confine("cuda")
    confine.settle_in("cuda", [])
    torch.zeros(1, device="cuda")
    _, fds, _, _ = socket.recv_fds(sock, 64, 1)
    mapping = device_mapping.map_shared(fds[0], size)
    flat, cuda = mapping.tensor(), virtual.driver()
    assert int(flat[0]) == 0
    found = {}
    confine.complete("cuda")
    status, *rest = cuda.cuMemRetainAllocationHandle(mapping.address)
    found["retain"] = status.name
    if rest:
        address = virtual.call(cuda.cuMemAddressReserve(size, 0, 0, 0))
        found["map again"] = cuda.cuMemMap(address, size, 0, rest[0], 0)[0].name
        rights = [virtual.access(0, writable=True)]
        found["again, writable"] = cuda.cuMemSetAccess(address, size, rights, 1)[0].name
        if found["again, writable"] == "CUDA_SUCCESS":
            found["store"] = cuda.cuMemsetD8(address, 9, 1)[0].name
    rights = [virtual.access(0, writable=True)]
    found["writable in place"] = cuda.cuMemSetAccess(mapping.address, size, rights, 1)[0].name
    found["store in place"] = cuda.cuMemsetD8(mapping.address + 1, 9, 1)[0].name
    sock.send(json.dumps(found).encode())


if __name__ == "__main__":
    role, descriptor, bytes_ = sys.argv[1:]
    globals()[role](socket.socket(fileno=int(descriptor)), int(bytes_))
    os._exit(0)
