"""Workloads by name, and by the path of a file.

A name is a TOML of this folder: either ``[[function]]`` tables with a process each, or fixed
``arrivals``; ``azure-slice:NAME`` is a real slice where the data are at hand; a path ends in
.parquet. All take the same overrides (:class:`Overrides`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt

from ..errors import WorkloadError
from ..generators import Clusters, generate
from ..lengths import LogNormal, with_lengths
from ..minutes import data_root, expand_uniform, read_minutes
from ..trace import Provenance, TraceFunction, Workload, from_arrivals

FOLDER = Path(__file__).parent
SLICE = "azure-slice:"

PROMPT = LogNormal(
    median=64,
    sigma=0.45,
    low=8,
    high=512,
    source="assumed, in the range of GSM8K questions; the paper gives no token counts",
)
OUTPUT = LogNormal(
    median=64, sigma=0.5, low=4, high=512, source="assumed; the paper gives no output lengths"
)


class Overrides(BaseModel):
    """What may be changed of a workload when it is named. Order: generate or read, window,
    compress, lengths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_s: NonNegativeFloat = 0.0
    duration_s: PositiveFloat | None = None
    """Seconds of the trace's own time, before compression."""
    time_scale: PositiveFloat = 1.0
    """60 plays an hour in a minute; keeps every CV."""
    prompt_tokens: PositiveInt | None = None
    """All prompts of this length, instead of drawn ones."""
    output_tokens: PositiveInt | None = None
    max_prompt_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def slices() -> list[str]:
    """Real slices that are at hand."""
    root = data_root()
    found = sorted((root / "slices").glob("*.csv")) if root else []
    return [f"{SLICE}{path.stem}" for path in found]


def describe(name: str) -> dict[str, Any]:
    """The TOML behind a catalogue name."""
    path = FOLDER / f"{name}.toml"
    if not path.exists():
        raise WorkloadError(f"workload {name!r} is unknown; known: {', '.join(_known())}")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def load(name: str, *, seed: int, **overrides: Any) -> Workload:
    """The workload of that name. ``WorkloadError`` where there is none; pydantic's error where
    an override is unknown."""
    changes = Overrides.model_validate(overrides)
    workload = _source(name)(name, seed, changes)
    if workload.provenance.kind != "synthetic" and changes.duration_s is not None:
        workload = workload.window(changes.start_s, changes.duration_s)
    workload = workload.compress(changes.time_scale) if changes.time_scale != 1 else workload
    if not len(workload):
        raise WorkloadError(f"workload {name!r}: no request is left after {overrides}")
    if name.endswith(".parquet"):
        return workload
    return with_lengths(
        workload,
        seed,
        _lengths(PROMPT, changes.prompt_tokens, changes.max_prompt_tokens),
        _lengths(OUTPUT, changes.output_tokens, changes.max_output_tokens),
    )


def _known() -> list[str]:
    return [*names(), *(slices() or [f"{SLICE}NAME (where the data are)"]), "a .parquet file"]


_Source = Callable[[str, int, Overrides], Workload]


def _source(name: str) -> _Source:
    if name.startswith(SLICE):
        return _real_slice
    if name.endswith(".parquet"):
        return _file
    return _arrivals if "arrivals" in describe(name) else _generated


def _generated(name: str, seed: int, changes: Overrides) -> Workload:
    about = describe(name)
    functions = [TraceFunction.model_validate(f["about"]) for f in about["function"]]
    processes = {f["about"]["id"]: Clusters.model_validate(f["process"]) for f in about["function"]}
    duration_s = changes.duration_s or about["duration_s"]
    return generate(
        name, processes, functions, seed=seed, duration_s=duration_s, source=about["source"]
    )


def _arrivals(name: str, seed: int, changes: Overrides) -> Workload:  # noqa: ARG001
    """Arrivals that a source gives one by one; no seed has a say."""
    about = describe(name)
    times: dict[str, list[int]] = {}
    for each in about["arrivals"]:
        times.setdefault(each["function"], []).append(round(each["at_s"] * 1e9))
    return from_arrivals(
        name,
        [TraceFunction(id=function) for function in times],
        {function: np.array(found) for function, found in times.items()},
        Provenance(kind="recorded", source=about["source"]),
        round(about["duration_s"] * 1e9),
    )


def _real_slice(name: str, seed: int, changes: Overrides) -> Workload:  # noqa: ARG001
    root = data_root()
    if root is None:
        raise WorkloadError(
            f"workload {name!r} needs public trace data: name its folder in SLBENCH_DATA"
        )
    path = root / "slices" / f"{name.removeprefix(SLICE)}.csv"
    if not path.exists():
        raise WorkloadError(f"workload {name!r} is unknown; known: {', '.join(slices())}")
    return expand_uniform(read_minutes(path), seed)


def _file(name: str, seed: int, changes: Overrides) -> Workload:  # noqa: ARG001
    path = Path(name)
    if not path.exists():
        raise WorkloadError(f"workload file {name} does not exist")
    return Workload.read(path)


def _lengths(model: LogNormal, exactly: int | None, most: int | None) -> LogNormal:
    if exactly is not None:
        return LogNormal(median=exactly, sigma=0, high=exactly, source="set by the experiment")
    if most is not None and most < model.high:
        return model.model_copy(update={"high": most, "low": min(model.low, most)})
    return model
