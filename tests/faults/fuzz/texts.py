"""Invalid experiment files, workload files and traces of every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from harness.experiment_files import load, shipped
from tests.workloads.importers.samples import EVERY
from workloads import catalogue
from workloads.importers import import_file

from .mutations import SPOIL, Random, some_leaf
from .tally import Tally, spread


def experiments(examples: int, seed: int, folder: Path) -> Tally:
    """Spoil a value or the text of the shipped experiments."""
    return _texts("experiments", [p.read_bytes() for p in shipped().values()], ".yaml", examples,
                  seed, folder, lambda path: load(str(path)))  # fmt: skip


def workloads(examples: int, seed: int, folder: Path) -> Tally:
    """Spoil the workloads of the catalogue, each cut to one minute."""
    entries = [path.read_bytes() for path in sorted(catalogue.FOLDER.glob("*.toml"))]
    return _texts("workloads", entries, ".toml", examples, seed, folder,
                  lambda path: catalogue.load(str(path), seed=0, duration_s=60.0))  # fmt: skip


def traces(examples: int, seed: int, folder: Path) -> Tally:
    """Spoil a sample of each trace format; the importer detects the format."""
    return _texts("traces", [text.encode() for _, text in EVERY], ".csv", examples, seed,
                  folder, import_file)  # fmt: skip


def _texts(kind, originals, suffix, examples, seed, folder, read) -> Tally:  # type: ignore[no-untyped-def]
    tally = Tally(kind)
    path = folder / f"{kind}{suffix}"
    for number, way in spread(examples, (*SPOIL, "value", "value")):
        random = np.random.default_rng([seed, number])
        original = originals[int(random.integers(len(originals)))]
        path.write_bytes(_spoilt(random, original, way, suffix))
        tally.attempt(f"{kind} {number} of seed {seed}", lambda: read(path))
    return tally


def _spoilt(random: Random, original: bytes, way: str, suffix: str) -> bytes:
    if way in SPOIL:
        return SPOIL[way](random, original)
    if suffix == ".yaml":
        content = some_leaf(random, yaml.safe_load(original))
        # JSON is YAML, except for some numbers that only JSON accepts.
        return json.dumps(content).encode("utf-8", "surrogatepass")
    return _a_field(random, original)


def _a_field(random: Random, original: bytes) -> bytes:
    """Replace a number or a word of the text by an unusual one."""
    words = original.decode().split(" " if b"=" in original else ",")
    odd = ("-1", "1e308", "nan", "inf", "0", "", '"', "9" * 400, "x", "-0.0", "1e-320", "2e9")
    words[int(random.integers(len(words)))] = odd[int(random.integers(len(odd)))]
    return (" " if b"=" in original else ",").join(words).encode()
