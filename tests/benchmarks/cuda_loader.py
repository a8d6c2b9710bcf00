"""Load a checkpoint from disk or page cache to a card and to the host; compare dd and safetensors:

    python -m tests.benchmarks.cuda_loader MODEL [RESULT.json] [ROUNDS]

MODEL is the name of a preset or a directory; a missing preset is made. Each method runs ROUNDS
times in turn, after its files were read into the page cache or evicted from it; the table has the
medians. Methods that need a card are skipped without one. dd reads the same files one after the
other, 16 MiB at a time, with direct I/O. On a card, the program also measures page-locked memory to
the card, and ServerlessLLM's own store if ``build_sllm_store`` put it on PYTHONPATH.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from systems.engine.checkpoint import BackboneLayout, fill, plan_layout
from systems.engine.cuda.loading import fill_device, load, registered
from systems.engine.direct_io import PAGE
from systems.engine.page_cache import Residency
from systems.engine.private_memory import map_private
from systems.engine.safetensors_files import read_headers
from systems.errors import CheckpointError
from systems.models import ensure_backbone
from systems.serverless.live.weights import cuda_copies, cuda_ipc, store

from . import sllm_store

LOCKED_BYTES = 4 << 30


@dataclass(frozen=True)
class Loaded:
    """The checkpoint to load and the target buffers."""

    model_dir: Path
    files: tuple[Path, ...]
    layout: BackboneLayout
    card: torch.Tensor | None


def by_dd(it: Loaded) -> None:
    for path in it.files:
        command = ["dd", f"if={path}", "of=/dev/null", "bs=16M", "iflag=direct"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def to_host(it: Loaded, *, past_cache: bool) -> None:
    """Load into a memory file, as the CPU loader makes it."""
    fd = store.create("loaded", it.layout.nbytes)
    try:
        with store.map_writable(fd) as mapping, memoryview(mapping) as buffer:
            fill(it.layout, it.model_dir, buffer, past_cache=past_cache)
    finally:
        os.close(fd)


def to_card(it: Loaded, *, past_cache: bool) -> None:
    assert it.card is not None
    fill_device(it.layout, it.model_dir, it.card, past_cache=past_cache)
    torch.cuda.synchronize()


def by_safetensors(it: Loaded, device: str) -> None:
    held = [load_file(path, device=device) for path in it.files]
    if device == "cuda":
        torch.cuda.synchronize()
    else:  # safetensors maps the files: read the mapped pages
        for tensors in held:
            for tensor in tensors.values():
                tensor.clone()


WAYS: dict[str, tuple[str, Callable[[Loaded], None]]] = {
    "dd, direct": ("nowhere", by_dd),
    "ours, past the cache": ("host", lambda it: to_host(it, past_cache=True)),
    "ours, through the cache": ("host", lambda it: to_host(it, past_cache=False)),
    "safetensors": ("host", lambda it: by_safetensors(it, "cpu")),
    "ours, past the cache, to the card": ("card", lambda it: to_card(it, past_cache=True)),
    "ours, through the cache, to the card": ("card", lambda it: to_card(it, past_cache=False)),
    "safetensors, to the card": ("card", lambda it: by_safetensors(it, "cuda")),
}


def evict(files: tuple[Path, ...]) -> None:
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if share_cached(files) < 0.01:
        return
    with contextlib.suppress(OSError):  # needs root and a writable /proc
        Path("/proc/sys/vm/drop_caches").write_text("1", encoding="ascii")


def warm(files: tuple[Path, ...]) -> None:
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.read(64 << 20):
                pass


def share_cached(files: tuple[Path, ...]) -> float:
    """Return the share of a thousand sampled pages per file that is in the page cache."""
    found = []
    for path in files:
        with path.open("rb") as file:
            residency = Residency(file.fileno())
            step = max(PAGE, path.stat().st_size // 1000)
            found += [residency.has(at, 1) for at in range(0, path.stat().st_size, step)]
            residency.close()
    return sum(found) / len(found)


def timed(it: Loaded, prepare: Callable[[tuple[Path, ...]], None], way: str) -> dict[str, float]:
    prepare(it.files)
    cached = share_cached(it.files)
    start = time.perf_counter()
    WAYS[way][1](it)
    return {"seconds": time.perf_counter() - start, "cached": cached}


def measure(it: Loaded, rounds: int) -> list[dict[str, object]]:
    ways = [way for way, (target, _) in WAYS.items() if it.card is not None or target != "card"]
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for source, prepare in (("disk", evict), ("page cache", warm)):
            for way in ways:
                if way.startswith("dd") and source != "disk":
                    continue
                seen.setdefault((source, way), []).append(timed(it, prepare, way))
    return [_row(it, source, way, found) for (source, way), found in seen.items()]


def _row(it: Loaded, source: str, way: str, found: list[dict[str, float]]) -> dict[str, object]:
    seconds = [each["seconds"] for each in found]
    size = sum(path.stat().st_size for path in it.files)
    return {
        "from": source,
        "way": way,
        "median_s": statistics.median(seconds),
        "GB_per_s": size / statistics.median(seconds) / 1e9,
        "seconds": seconds,
        "cached_before": max(each["cached"] for each in found),
    }


def from_locked_memory(card: torch.Tensor) -> list[dict[str, object]]:
    nbytes = min(LOCKED_BYTES, card.numel())
    rows: list[dict[str, object]] = []
    with registered(map_private(nbytes)) as source:
        for streams in (1, 2, 4):
            start = time.perf_counter()
            load(source, card, streams=streams)
            rate = nbytes / (time.perf_counter() - start) / 1e9
            rows.append({"from": "locked memory", "way": f"{streams} streams", "GB_per_s": rate})
        del source
    return rows


def by_sllm_store(it: Loaded, rounds: int) -> list[dict[str, object]]:
    """Load from disk to its page-locked memory and to the card, then again from that memory only;
    check the loaded bytes."""
    assert it.card is not None
    nbytes, card = it.layout.nbytes, str(torch.cuda.get_device_properties(0).uuid)
    target, handle = cuda_ipc.create(nbytes)
    fill_device(it.layout, it.model_dir, it.card)
    wanted = cuda_copies.checksum(it.card)
    seen: dict[str, list[float]] = {"disk": [], "its memory": []}
    with tempfile.TemporaryDirectory(dir=it.model_dir.parent) as folder:
        data = Path(folder) / sllm_store.NAME / "tensor.data_0"
        data.parent.mkdir()
        it.card.cpu().numpy().tofile(data)
        with sllm_store.running(Path(folder), nbytes, card) as theirs:
            for _ in range(rounds):
                evict((data,))
                for source, seconds in seen.items():
                    target.zero_()
                    torch.cuda.synchronize()
                    from_disk = source == "disk"
                    seconds.append(theirs.load(bytes.fromhex(handle), from_disk=from_disk))
                    assert cuda_copies.checksum(target) == wanted, "other bytes arrived"
    way = "ServerlessLLM's store, to the card"
    return [
        {
            "from": source,
            "way": way,
            "median_s": statistics.median(seconds),
            "GB_per_s": nbytes / statistics.median(seconds) / 1e9,
            "seconds": seconds,
        }
        for source, seconds in seen.items()
    ]


def loaded(name: str) -> Loaded:
    model_dir = ensure_backbone(name)
    headers = read_headers(sorted(model_dir.glob("*.safetensors")), CheckpointError)
    layout = plan_layout(model_dir, next(iter(headers.values())).dtype)
    there = torch.cuda.is_available()
    card = torch.empty(layout.nbytes, dtype=torch.uint8, device="cuda") if there else None
    files = tuple(sorted({tensor.path for tensor in headers.values()}))
    return Loaded(model_dir, files, layout, card)


def main() -> None:
    """Print and save each measurement as soon as it is complete."""
    name, *rest = sys.argv[1:]
    it = loaded(name)
    rounds = int(rest[1]) if len(rest) > 1 else 3
    out = Path(rest[0]) if rest else None
    rows = measure(it, rounds)
    _tell(it, rows, rows, out)
    if it.card is not None:
        locked = from_locked_memory(it.card)
        _tell(it, rows + locked, locked, out)
        rows += locked
    if it.card is not None and sllm_store.installed():
        theirs = by_sllm_store(it, rounds)
        _tell(it, rows + theirs, theirs, out)


def _tell(
    it: Loaded, rows: list[dict[str, object]], new: list[dict[str, object]], out: Path | None
) -> None:
    for row in new:
        print(f"{row['from']!s:14} {row['way']!s:38} {row['GB_per_s']:7.2f} GB/s", flush=True)
    document = {
        "model": it.model_dir.name,
        "bytes": sum(path.stat().st_size for path in it.files),
        "card": torch.cuda.get_device_name() if it.card is not None else None,
        "file_system": subprocess.run(
            ["stat", "-f", "-c", "%T", str(it.model_dir)], capture_output=True, text=True
        ).stdout.strip(),
        "rows": rows,
    }
    if out is not None:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
