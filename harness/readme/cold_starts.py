"""The table of TTFT by stage: cold starts, and starts with everything in place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from ..records import read_cell
from .block import Block

STAGES = ("warming", "libraries", "backbone", "adapter", "kernels", "prefill")
HEADS = ("live, TTFT in ms", "n", "median", "least", "most", *STAGES)
NAIVE = "cold-start-naive-h100.json"
_NAIVE_STAGES = {"first token": "prefill"}
_NS = 1e6


def cold_starts(block: Block, reference: Path) -> str:
    """A row each for ``rows``, which name a record, a system and a start type; before them the
    libraries' own loaders, nothing of this suite's in between. Stages are medians."""
    lines = [HEADS, ("---", *["--:"] * (len(HEADS) - 1)), _naive(reference / NAIVE)]
    lines += [_row(reference, *row.split("/")) for row in block.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _naive(path: Path) -> tuple[str, ...]:
    samples = json.loads(path.read_bytes())["samples"]
    stages = pd.DataFrame([each["seconds"] for each in samples]).drop(columns="the same again")
    stages = stages.rename(columns=_NAIVE_STAGES) * 1e3
    return _line("transformers and peft", stages.sum(axis=1), _medians(stages))


def _row(reference: Path, record: str, system: str, start_type: str) -> tuple[str, ...]:
    (cell,) = map(read_cell, (reference / record / system).glob("*/*"))
    requests = cell.table("requests").to_pandas().set_index("request_id")
    chosen = requests[requests["start_type"] == start_type]
    ttft = (chosen["first_token_ns"] - chosen["sent_ns"]) / _NS
    spans = cell.table("spans").to_pandas()
    spans = spans[spans["request_id"].isin(chosen.index)]
    took = (spans["end_ns"] - spans["start_ns"]).groupby([spans["request_id"], spans["stage"]])
    stages = _medians((took.sum() / _NS).unstack())
    return _line(f"{system}, {start_type}: [{record}](results/reference/{record})", ttft, stages)


def _medians(stages: pd.DataFrame) -> dict[str, float]:
    return {str(stage): float(value) for stage, value in stages.median().items()}


def _line(name: str, ttft: pd.Series[float], stages: Mapping[str, float]) -> tuple[str, ...]:
    told = (ttft.median(), ttft.min(), ttft.max())
    return (name, str(len(ttft)), *map(_ms, told), *_each(stages))


def _each(stages: Mapping[str, float]) -> Iterator[str]:
    for stage in STAGES:
        found = stages.get(stage)
        yield "—" if found is None or pd.isna(found) else _ms(found)


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
