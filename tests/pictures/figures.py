"""The figures of the pages: each is a drawing of committed records."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from paper_figures import open_record
from paper_figures.registry import drawings, sources

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


class Picture(NamedTuple):
    """``figure`` of ``records``, all of its own unless some are named; ``drawing``: its name, where
    the figure has several."""

    figure: str
    records: tuple[str, ...] = ()
    drawing: str = ""


PICTURES = {
    "cost-of-serving": Picture("cost-of-serving", ("serving",)),
    "crossing": Picture("crossing", ("crossing", "crossing-h200")),
    "memory-over-time": Picture(
        "memory-over-time", ("quickstart",), "memory-over-time-azure-bursty8"
    ),
    "price-of-isolation": Picture(
        "price-of-isolation", drawing="price-of-isolation-llama2-7b-azure-bursty8"
    ),
    "time-breakdown": Picture("time-breakdown", ("quickstart",)),
    "time-breakdown-h100": Picture("time-breakdown", ("time-breakdown-h100",)),
    "weak-scaling-live": Picture("weak-scaling", ("weak-scaling-h200",)),
    "ttft-by-pattern": Picture("ttft-by-pattern", ("evaluation",)),
}
"""By file name."""


def drawn(name: str) -> bytes:
    """Return the PNG of a picture."""
    figure, records, of = PICTURES[name]
    first, *others = (open_record(REFERENCE / each) for each in records or sources()[figure])
    found = {each.name: each for each in drawings(figure, first, *others)}
    with tempfile.TemporaryDirectory() as folder:
        return found[of or figure].save(Path(folder)).read_bytes()


def draw_figures(folder: Path) -> None:
    for name in PICTURES:
        (folder / f"{name}.png").write_bytes(drawn(name))
