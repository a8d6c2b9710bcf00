"""Screenshots of the report and of the live view, from the committed record of the quickstart."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from harness.records import Cell, open_run
from harness.replay.messages import Ended
from harness.report.page import page as report
from harness.watch.clock import RunClock
from harness.watch.gateway import GatewayView
from harness.watch.load import Load
from harness.watch.text import RunView, screen

from .figures import REFERENCE

BROWSER = "chromium"
COLOURS = 64
"""Of a screenshot: it has few, and is a quarter as large."""
_MARGIN_PX = 12
_PLOTS = "<style>section:nth-of-type(-n+3), section:nth-of-type(n+7) {display: none}</style>"
"""Shows the sections with plots only, of a report."""
SHOWN = ("serverless-lora", "azure-bursty8")
_MOMENT_S = 12.0
"""After the start of the load of the cell that the live view shows."""
_WIDTH = 100


def report_page() -> str:
    """Return the report of the quickstart, with its plots alone."""
    return report([open_run(REFERENCE / "quickstart")]).replace("</head>", f"{_PLOTS}</head>", 1)


def live_view() -> str:
    """Return the live view of a cell of the quickstart at a moment, as a page: what ``slbench run``
    shows of the requests, start types and memory that the record has until then."""
    from rich.console import Console

    run = open_run(REFERENCE / "quickstart")
    cells = run.cells()
    (shown,) = (each for each in cells if (each.system, each.workload) == SHOWN)
    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(screen(view(shown, [_length_s(cell) for cell in cells])))
    return console.export_svg(title="slbench run quickstart")


def _length_s(cell: Cell) -> float:
    return float(cell.requests["scheduled_ns"].max()) / 1e9


def view(cell: Cell, lengths_s: list[float]) -> RunView:
    """Return what the live view shows of the first of cells that take ``lengths_s``."""
    clock = RunClock(lengths_s)
    clock.begin(0.0)
    title = f"{cell.system} under {cell.workload}, seed {cell.manifest.seed}"
    load = _load(cell).view(int(_MOMENT_S * 1e9))
    left_s = clock.left_s(_MOMENT_S)
    return RunView(clock.cell, title, "sending load", left_s, load, _gateway(cell))


def _load(cell: Cell) -> Load:
    requests = cell.requests.sort_values("scheduled_ns", ignore_index=True)
    load = Load(list(requests["function_id"]), list(requests["scheduled_ns"]), closed=False)
    load.started(0)
    ended = requests[requests["last_token_ns"] <= _MOMENT_S * 1e9].sort_values("last_token_ns")
    for row in ended.itertuples():
        load.ended([_ended(row)], int(row.last_token_ns))
    return load


def _ended(row: Any) -> Ended:
    tpot_ns = None if pd.isna(row.tpot_s) else int(row.tpot_s * 1e9)
    late_ns = int(row.sent_ns - row.scheduled_ns)
    return Ended(int(row.Index), row.status, int(row.ttft_s * 1e9), tpot_ns, late_ns)


def _gateway(cell: Cell) -> GatewayView:
    now_ns = _MOMENT_S * 1e9
    answered = cell.requests[cell.requests["first_token_ns"] <= now_ns]
    memory = cell.table("memory").to_pandas()
    held = memory[(memory["source"] == "ledger") & (memory["t_ns"] <= now_ns)].fillna("")
    last = held.groupby(["owner", "device", "function_id"])["bytes"].last()
    owners = last.groupby("owner").sum()
    return GatewayView(
        answered["start_type"].value_counts().to_dict(), owners[owners > 0].to_dict()
    )


def screenshot(page: str, size: tuple[int, int], path: Path) -> None:
    """Write what a browser shows of a page in a window of ``size`` pixels, without the blank around
    it. Raises ``OSError`` if the browser is missing."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        source.write_text(page, encoding="utf-8")
        width, height = size
        subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--user-data-dir={folder}/browser", f"--window-size={width},{height}",
             "--virtual-time-budget=10000", f"--screenshot={shot}", source.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        _cropped(Image.open(shot).convert("RGB")).save(path, optimize=True)


def _cropped(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    filled = (pixels != pixels[-1, -1]).any(axis=2)
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    height, width = filled.shape
    box = (
        max(columns[0] - _MARGIN_PX, 0), max(rows[0] - _MARGIN_PX, 0),
        min(columns[-1] + _MARGIN_PX, width), min(rows[-1] + _MARGIN_PX, height),
    )  # fmt: skip
    return image.crop(box).quantize(COLOURS)
