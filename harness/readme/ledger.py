"""The table of the device memory that the ledger reserves and that the driver counts."""

from __future__ import annotations

from pathlib import Path

from ..records import Cell, open_run
from .block import Block

HEADS = (
    "live, peaks in MB", "reserved", "shared weights", "of processes", "reserved ÷ held",
    "the same of means",
)  # fmt: skip
DRIVER = "measured-nvml"


def ledger(block: Block, reference: Path) -> str:
    """A row for each cell of ``systems``, whose instances share a copy of the weights, in the
    records of ``rows``, with the peaks of its first device, and the ratio of peaks and of means.
    The driver counts the memory of processes, not the copy: held is both."""
    lines: list[tuple[str, ...]] = [HEADS, ("---", *["--:"] * (len(HEADS) - 1))]
    for record in block.rows:
        cells = open_run(reference / record).cells()
        lines += [_row(cell, record) for cell in cells if cell.system in block.systems]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(cell: Cell, record: str) -> tuple[str, ...]:
    device, peak = next(iter(cell.summary["memory_peak_bytes"].items()))
    most, mean = _driver(cell, device)
    shown = (f"{each / 1e6:,.0f}" for each in (peak["all"], peak["weights"], most))
    where = f"[{record}](results/reference/{record})"
    kept, duration_s = cell.summary["memory_gb_s"][device], cell.summary["duration_s"]
    held = kept["weights"] + mean / 1e9 * duration_s
    ratios = peak["all"] / (peak["weights"] + most), kept["all"] / held
    what = f"{cell.system}, {cell.workload}, {cell.manifest.gpus}; {where}"
    return what, *shown, *(f"{each:.2f}" for each in ratios)


def _driver(cell: Cell, device: str) -> tuple[int, float]:
    """Return the driver's largest and mean count once the first token was there: before, a loader
    may hold what it is about to share."""
    first = cell.table("requests").to_pandas()["first_token_ns"].min()
    memory = cell.table("memory").to_pandas()
    counted = memory[(memory["source"] == DRIVER) & (memory["device"] == device)]
    later = counted.loc[counted["t_ns"] >= first, "bytes"]
    return int(later.max()), float(later.mean())
