"""Titles of comparison tables: what was pooled, and whether it is live or simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..records import Manifest

if TYPE_CHECKING:
    from ..comparison import Comparison, Row
    from ..comparison.match import Matched


def title(group: Sequence[Row], comparison: Comparison) -> str:
    """Title of rows over requests, or over the segments of a load (``Comparison.segments``)."""
    entries = {row.entry.level: row.entry for row in group}
    entry = group[0].entry
    what = subject(entry, comparison)
    over = any(group is rows for rows in comparison.segments)
    amount, which = _segments(entry) if over else _requests([*entries.values()])
    compares = any(row.ratio is not None for row in group)
    against = f"; beneath, ÷ {comparison.baseline}" if compares else ""
    manifests = [cell.manifest for row in group for cell in row.entry.cells]
    modes = " and ".join(sorted({mode(manifest) for manifest in manifests}))
    return f"{what}: {amount}, {modes}, {which}{against}"


def subject(entry: Matched, comparison: Comparison) -> str:
    """System and workload of a table, without the one that is compared."""
    parts = {"system.label": entry.system, "workload.name": entry.workload}
    return ", ".join(text for part, text in parts.items() if part not in comparison.factor.told_by)


def _segments(entry: Matched) -> tuple[str, str]:
    return f"mean over {len(entry.segments)} segments", _span(entry.segments)


def _requests(entries: Sequence[Matched]) -> tuple[str, str]:
    """Number of requests of a level, or the fewest and the most, and their seeds."""
    counts = {sum(cell.summary["n"] for cell in entry.cells) for entry in entries}
    requests = "–".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
    seeds = ", ".join(map(str, sorted({seed for entry in entries for seed in entry.seeds})))
    segments = entries[0].segments
    which = f"segment {seeds} alone of {_span(segments)}" if segments else f"seed {seeds}"
    return f"{requests} request{'' if max(counts) == 1 else 's'}", which


def _span(names: Sequence[str]) -> str:
    return f"{names[0]}–{names[-1]}"


def remarks(group: Sequence[Row]) -> Iterator[str]:
    """For each level, report runs whose results are identical and count as one sample."""
    for entry in {row.entry.level: row.entry for row in group}.values():
        if entry.again:
            count = len(entry.cells) + len(entry.again)
            yield (
                f"{entry.level}: {len(entry.cells)} of {count} cells are samples; others are equal"
                " to the last digit"
            )


def mode(manifest: Manifest) -> str:
    """A simulated number must not be taken for a measured one (measurement rule 14): the title says
    SIMULATED and names the profile."""
    if manifest.mode == "live":
        return manifest.mode
    profile = f" on {manifest.profile['name']}" if manifest.profile else ""
    return f"{manifest.mode.upper()}{profile}"
