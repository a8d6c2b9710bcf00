"""Set-ups: where our result for a published one comes from, and what was assumed for it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..cost import accountings
from ..records.files import STUDY
from ..reference.studies import Study
from .claim import Published
from .evaluation import BASELINES, OURS


class SetUp(BaseModel):
    """``source``: what reads ``record`` (sources.py). ``ours``, ``baselines``: the systems that are
    compared. ``only``: the claims that it is of use for, by id; empty: all that the source tells.
    ``windowed``: rates are within the study's window. ``accounting``: how costs are computed, by
    name; empty: none are.
    ``at``: the value of the sweep that has the paper's settings, where that matters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    source: str
    record: str
    assumes: tuple[str, ...]
    ours: str = OURS
    baselines: tuple[str, ...] = BASELINES
    only: tuple[str, ...] = ()
    windowed: bool = False
    accounting: str = ""
    at: float | None = None

    def in_words(self, published: Published) -> str:
        """Return the set-up in words, with what is paid for if ``published`` is about cost."""
        if not (published.priced and self.accounting):
            return self.title
        return f"{self.title}; paid for: {accountings()[self.accounting].title}"

    def assumed(self, reference: Path) -> str:
        """Return what was assumed, with the values of the record under ``reference``."""
        given = _given(reference / self.record)
        return "; ".join(each.format_map(given) for each in self.assumes)


def set_ups() -> list[SetUp]:
    """Return all set-ups, in the order of set_ups.toml."""
    text = (files("harness") / "claims" / "set_ups.toml").read_text(encoding="utf-8")
    return [SetUp(name=name, **about) for name, about in tomllib.loads(text).items()]


def _given(record: Path) -> Mapping[str, Any]:
    """Return the values that an assumption may name: limits, the window, a sweep's values."""
    if (record / "run.json").exists():
        limits = json.loads((record / "run.json").read_bytes())["deployment"]["limits"]
        return {name: _number(value) for name, value in limits.items()}
    if not (record / STUDY).exists():
        return {}
    study = Study(**json.loads((record / STUDY).read_bytes())["study"])
    with study.at(study.values[0]) as experiment:
        limits = experiment.deployment.limits.model_dump()
    values = ", ".join(map(_number, study.values))
    return {
        **{name: _number(value) for name, value in limits.items()},
        "window_s": _number(study.window_s), "values": values,
    }  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,g}"
