"""Workloads by name or by file path.

A name is a TOML file in this folder: ``[[function]]`` tables with a process each, one
``[population]``, or fixed ``arrivals``; lengths are given in ``prompt`` and ``output`` or are the
paper-like ones below. ``azure-slice:NAME`` is a slice of real data, if it is available. A path ends
in .parquet, or in .toml for your own catalogue entry. All accept the same overrides
(:class:`Overrides`).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..errors import WorkloadError
from ..generators import process
from ..lengths import Lengths, LogNormal, lengths
from ..minutes import data_root
from ..named_lengths import NAMED
from ..synthesis import Population, generate, populate
from ..trace import Provenance, TraceFunction, Workload, from_arrivals
from ..unknown import unknown
from .entry_keys import FORMS, check_keys
from .overrides import Overrides, cut_lengths, draw_lengths, play

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


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def slices() -> list[str]:
    """List the available slices of real data."""
    root = data_root()
    found = sorted((root / "slices").glob("*.csv")) if root else []
    return [f"{SLICE}{path.stem}" for path in found]


def describe(name: str) -> dict[str, Any]:
    """Load the TOML of a catalogue name, or of a path that ends in .toml. Raises ``WorkloadError``
    if it is unknown, no TOML, or has an unknown key."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        if name.endswith(".toml"):
            raise WorkloadError(f"workload file {name} does not exist")
        if Path(name).is_file():
            raise WorkloadError(
                f"workload {name!r}: a trace is imported first:"
                f" slbench workloads import {name} -o {Path(name).stem}.parquet"
            )
        raise WorkloadError(unknown("workload", name, names(), *_more()))
    try:
        about = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WorkloadError(f"{path}: not a catalogue entry ({error})") from error
    check_keys(name, about)
    return about


def check(name: str) -> None:
    """Raise ``WorkloadError`` if the catalogue has no workload of this name."""
    _source(name)


def load(name: str, *, seed: int, **overrides: Any) -> Workload:
    """Load a workload by name. Raises ``WorkloadError`` if it is unknown, and pydantic's error,
    which notes where it is, if an override or a value of its entry is wrong."""
    changes = _changes(name, overrides)
    if changes.expansion is not None and not name.startswith(SLICE):
        raise WorkloadError(f"workload {name!r}: expansion applies only to {SLICE}NAME")
    found, prompt, output = _source(name)(name, seed, changes)
    workload = play(found, changes, seed)
    if changes.lengths is not None:
        prompt, output = named_lengths(changes.lengths)
    if prompt is None or output is None:
        return cut_lengths(workload, changes)
    return draw_lengths(workload, changes, seed, prompt, output)


def _changes(name: str, overrides: dict[str, Any]) -> Overrides:
    try:
        return Overrides.model_validate(overrides)
    except ValidationError as error:
        error.add_note(f"overrides of {name}")
        raise


def _more() -> list[str]:
    data = slices() or [f"{SLICE}NAME (where the data are)"]
    return [*data, "a .parquet file or a .toml entry"]


_Found = tuple[Workload, Lengths | None, Lengths | None]
"""Arrivals, and the distributions of prompt and output lengths (None: it has its own lengths)."""
_Source = Callable[[str, int, Overrides], _Found]


def _source(name: str) -> _Source:
    if name.startswith(SLICE):
        return _real_slice
    if name.endswith(".parquet"):
        return _file
    about = describe(name)
    found = [form for form in FORMS if form in about]
    if len(found) != 1:
        raise WorkloadError(f"{name}: needs one of {', '.join(FORMS)}, has {len(found)}")
    return _entry


def _entry(name: str, seed: int, changes: Overrides) -> _Found:
    about = describe(name)
    title = Path(name).stem if name.endswith(".toml") else name
    form = next(form for form in FORMS if form in about)
    try:
        duration_s = changes.generated_s(_duration_s(about))
        workload = _FORMS[form](title, about, seed, duration_s)
        prompt = lengths(about["prompt"]) if "prompt" in about else PROMPT
        output = lengths(about["output"]) if "output" in about else OUTPUT
    except ValidationError as error:
        error.add_note(name)
        raise
    except WorkloadError as error:
        raise WorkloadError(f"{name}: {error}") from error
    except (KeyError, TypeError) as error:
        raise WorkloadError(f"{name}: not a catalogue entry (lacks {error})") from error
    except OverflowError as error:
        raise WorkloadError(f"{name}: not a catalogue entry ({error})") from error
    except MemoryError as error:
        raise WorkloadError(f"{name}: does not fit into this machine's memory") from error
    return workload, prompt, output


def _duration_s(about: Mapping[str, Any]) -> float:
    found = about["duration_s"]
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if not number or not 0 < found < math.inf:
        raise WorkloadError(f"duration_s: {found!r} is not right; wanted: number > 0")
    return float(found)


def _functions(name: str, about: dict[str, Any], seed: int, duration_s: float) -> Workload:
    functions = [TraceFunction.model_validate(f["about"]) for f in about["function"]]
    processes = {f["about"]["id"]: process(f["process"]) for f in about["function"]}
    return generate(
        name, processes, functions, seed=seed, duration_s=duration_s, source=about["source"]
    )


def _population(name: str, about: dict[str, Any], seed: int, duration_s: float) -> Workload:
    shape = Population.model_validate(about["population"])
    return populate(name, shape, seed=seed, duration_s=duration_s, source=about["source"])


def _moment_ns(seconds: float) -> int:
    if not math.isfinite(seconds):
        raise WorkloadError(f"{seconds} s is not a time; write a number of seconds")
    return round(seconds * 1e9)


def _arrivals(name: str, about: dict[str, Any], seed: int, duration_s: float) -> Workload:  # noqa: ARG001
    """Arrivals that a source lists one by one; independent of seed and duration."""
    times: dict[str, list[int]] = {}
    for each in about["arrivals"]:
        times.setdefault(each["function"], []).append(_moment_ns(each["at_s"]))
    return from_arrivals(
        name,
        [TraceFunction(id=function) for function in times],
        {function: np.array(found) for function, found in times.items()},
        Provenance(kind=about.get("kind", "recorded"), source=about["source"]),
        _moment_ns(about["duration_s"]),
    )


_FORMS: dict[str, Callable[[str, dict[str, Any], int, float], Workload]] = {
    "function": _functions,
    "population": _population,
    "arrivals": _arrivals,
}


def _real_slice(name: str, seed: int, changes: Overrides) -> _Found:
    from ..importers import Options, import_file

    root = data_root()
    if root is None:
        raise WorkloadError(
            f"workload {name!r} needs public trace data: name its folder in SLBENCH_DATA"
        )
    path = root / "slices" / f"{name.removeprefix(SLICE)}.csv"
    if not path.exists():
        raise WorkloadError(f"workload {name!r} is unknown; known: {', '.join(slices())}")
    options = Options(seed=seed, expansion=changes.expansion or "uniform")
    return import_file(path, options), PROMPT, OUTPUT


def _file(name: str, seed: int, changes: Overrides) -> _Found:  # noqa: ARG001
    path = Path(name)
    if not path.exists():
        raise WorkloadError(f"workload file {name} does not exist")
    return Workload.read(path), None, None


def named_lengths(name: str) -> tuple[Lengths, Lengths]:
    """Return the distributions of prompt and output lengths by name. Raises ``WorkloadError``,
    which lists the known names."""
    if name in NAMED:
        return NAMED[name]
    entries = {each: describe(each) for each in names()}
    known = {n: e for n, e in entries.items() if "prompt" in e and "output" in e}
    if name not in known:
        raise WorkloadError(f"lengths {name!r} are unknown; known: {', '.join([*NAMED, *known])}")
    return lengths(known[name]["prompt"]), lengths(known[name]["output"])
