"""Invalid adapters and checkpoints: truncated, with wrong shapes or huge headers, pickled."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from systems.engine.adapter import load_adapter
from systems.engine.checkpoint import fill, plan_layout
from systems.engine.config import read_config
from systems.models import ensure_backbone, ensure_form

from .mutations import SPOIL, Random, some_leaf
from .tally import Tally, spread


class _Bomb:
    """An object whose pickle runs code when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self._marker,)


def header_of(raw: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def with_header(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


def _spoil_header(random: Random, raw: bytes) -> bytes:
    header, data = header_of(raw)
    return with_header(some_leaf(random, header), data)


def _lie_about_the_header(random: Random, raw: bytes) -> bytes:
    """Change the length of the header: zero, more than the file has, more than is possible."""
    lengths = (0, 1, len(raw), len(raw) * 2, 100 << 20, 2**63, 2**64 - 1)
    return struct.pack("<Q", lengths[int(random.integers(len(lengths)))]) + raw[8:]


def _overlap(random: Random, raw: bytes) -> bytes:
    """Make two tensors overlap, or let one point outside the data."""
    header, data = header_of(raw)
    names = [name for name in header if name != "__metadata__"]
    one, other = random.choice(names, 2)
    shift = int(random.integers(-8, 9)) * 4
    begin, end = header[str(other)]["data_offsets"]
    header[str(one)]["data_offsets"] = [begin + shift, end + shift]
    return with_header(header, data)


WEIGHTS: Mapping[str, Callable[[Random, bytes], bytes]] = {
    **SPOIL,
    "header": _spoil_header,
    "header's length": _lie_about_the_header,
    "offsets": _overlap,
}


def adapters(examples: int, seed: int, folder: Path) -> Tally:
    """Inspect each spoilt adapter, and load it if the inspection finds no fault."""
    tiny = ensure_backbone("tiny")
    config = read_config(tiny)
    good = ensure_form(tiny, ["f0"], "ranks-by-pattern", 8)["f0"]
    spoilt = _Folder(good, folder / "adapter", "adapter_model.safetensors", "adapter_config.json")
    return spoilt.tally(
        "adapters", examples, seed, lambda: load_adapter(spoilt.path, config, "float32")
    )


def checkpoints(examples: int, seed: int, folder: Path) -> Tally:
    """Plan the layout of each spoilt checkpoint, and read it if the plan finds no fault."""
    good = ensure_backbone("tiny")
    shard = min(path.name for path in good.glob("*.safetensors"))
    spoilt = _Folder(good, folder / "checkpoint", shard, "config.json")
    most = 4 * sum(file.stat().st_size for file in good.iterdir())

    def load() -> None:
        layout = plan_layout(spoilt.path, "float32")
        if layout.nbytes <= most:
            fill(layout, spoilt.path, memoryview(bytearray(layout.nbytes)))

    return spoilt.tally("checkpoints", examples, seed, load)


class _Folder:
    """A copy of a valid folder; spoils one of its files at a time."""

    def __init__(self, good: Path, path: Path, weights: str, settings: str) -> None:
        shutil.copytree(good, path)
        self.path = path
        self._weights, self._settings = path / weights, path / settings
        self._good = {each: each.read_bytes() for each in path.iterdir() if each.is_file()}
        self._marker = path.parent / f"{path.name}.ran"

    def tally(self, kind: str, examples: int, seed: int, load: Callable[[], Any]) -> Tally:
        load()  # the first call imports modules, which must not count
        tally = Tally(kind)
        for number, way in spread(examples, ("weights", "settings", "settings' bytes", "pickle")):
            random = np.random.default_rng([seed, number])
            about = f"{kind} {number} of seed {seed}"
            self._restore()
            self._spoil(way, random)
            tally.attempt(about, load)
            if self._marker.exists():
                tally.problem(f"{about}: a pickle ran")
                self._marker.unlink()
        return tally

    def _restore(self) -> None:
        for path, raw in self._good.items():
            if path.suffix == ".safetensors" or path == self._settings or not path.exists():
                path.write_bytes(raw)
        for pickled in self.path.glob("*.bin"):
            pickled.unlink()

    def _spoil(self, way: str, random: Random) -> None:
        if way == "weights":
            names = list(WEIGHTS)
            spoil = WEIGHTS[names[int(random.integers(len(names)))]]
            self._weights.write_bytes(spoil(random, self._good[self._weights]))
        elif way == "settings":
            content = some_leaf(random, json.loads(self._good[self._settings]))
            text = json.dumps(content).encode("utf-8", "surrogatepass")
            self._settings.write_bytes(text)
        elif way == "settings' bytes":
            spoil = list(SPOIL.values())[int(random.integers(len(SPOIL)))]
            self._settings.write_bytes(spoil(random, self._good[self._settings]))
        else:
            self._pickle(random)

    def _pickle(self, random: Random) -> None:
        """Replace the weights by a pickle, under their own name or under a name for pickles."""
        bomb = pickle.dumps(_Bomb(self._marker), protocol=int(random.integers(6)))
        if random.integers(2):
            self._weights.write_bytes(bomb)
        else:
            for weights in self.path.glob("*.safetensors*"):
                weights.unlink()
            name = ("pytorch_model.bin", "adapter_model.bin")[int(random.integers(2))]
            (self.path / name).write_bytes(bomb)
