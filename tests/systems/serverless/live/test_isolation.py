"""Processes that map the shared backbone cannot write to it, and it is in memory only once; the
measures that confine them are in force."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import signal
from collections.abc import Callable

import pytest

from systems.serverless.live.weights import store


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
