"""Reads through the page cache and with direct I/O return the same bytes; direct I/O leaves nothing
in the page cache."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from systems.engine.checkpoint import fill, plan_layout
from systems.engine.direct_io import PAGE, STEP, Piece, Source
from systems.engine.page_cache import Residency
from systems.errors import CheckpointError

SIZE = 5 * PAGE + 1234
RANGES = [(0, 1), (0, SIZE), (1, PAGE), (PAGE - 1, 2), (4095, SIZE - 4095), (8192, 4096), (77, 9)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(SIZE))
    return path


def evict(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached(path: Path) -> list[bool]:
    with path.open("rb") as file:
        residency = Residency(file.fileno())
        found = [residency.has(at, 1) for at in range(0, path.stat().st_size, PAGE)]
        residency.close()
    return found


@pytest.fixture(params=[False, True], ids=["through", "past"])
def source(request: pytest.FixtureRequest, file: Path) -> Iterator[Source]:
    opened = Source(file, past_cache=request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("warm", [True, False], ids=["cached", "not cached"])
def test_any_range_is_what_the_file_holds(source: Source, file: Path, warm: bool) -> None:
    content = file.read_bytes()
    buffer = memoryview(mmap.mmap(-1, STEP + 2 * PAGE))
    for offset, nbytes in RANGES:
        if not warm:
            evict(file)
        piece, wanted = Piece(file, offset, 0, nbytes), content[offset : offset + nbytes]
        target = bytearray(nbytes + 1)
        source.read(piece, memoryview(target)[1:])  # an unaligned target
        assert target[1:] == wanted
        start = source.fetch(piece, buffer)
        assert buffer[start : start + nbytes] == wanted


@pytest.mark.parametrize("warm", [True, False], ids=["cached", "not cached"])
def test_a_file_that_ends_too_early_is_an_error(source: Source, file: Path, warm: bool) -> None:
    if not warm:
        evict(file)
    for offset, nbytes in ((SIZE - 3, 4), (SIZE - PAGE, PAGE + 1), (SIZE, 1), (SIZE + PAGE, 10)):
        with pytest.raises(CheckpointError, match="ends before byte"):
            source.read(Piece(file, offset, 0, nbytes), memoryview(bytearray(nbytes)))


def test_what_goes_past_the_cache_is_not_left_in_it(file: Path) -> None:
    evict(file)
    if any(cached(file)):
        pytest.skip("this file system keeps its files in memory")
    source = Source(file, past_cache=True)
    source.read(Piece(file, 100, 0, SIZE - 100), memoryview(bytearray(SIZE)))
    source.close()
    assert not any(cached(file))


def test_a_file_system_that_refuses_is_read_through_the_cache(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def refuse(path: Path, flags: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return plain(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    source = Source(file, past_cache=True)
    target = bytearray(SIZE)
    source.read(Piece(file, 0, 0, SIZE), memoryview(target))
    source.close()
    assert target == file.read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])  # as stored, and converted
def test_a_checkpoint_is_the_same_past_the_cache(dtype: str, tiny: Path) -> None:
    layout = plan_layout(tiny, dtype)
    through, past = bytearray(layout.nbytes), bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(through))
    for path in tiny.glob("*.safetensors"):
        evict(path)
    fill(layout, tiny, memoryview(past), past_cache=True)
    assert past == through
