"""The figures of the pages: each is a drawing of committed records."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

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
    "throughput-live": Picture("throughput", ("throughput-h200",)),
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
        return _small(found[of or figure].save(Path(folder)))


def _small(file: Path) -> bytes:
    """Return the picture in 256 colours, which is a third as large."""
    out = io.BytesIO()
    with Image.open(file) as image:
        colours = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(out, "png", optimize=True)
    return out.getvalue()


def draw_figures(folder: Path) -> None:
    for name in PICTURES:
        (folder / f"{name}.png").write_bytes(drawn(name))
