"""Rows that several tables of RELIABILITY.md have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]

MOMENTS = (
    "| fault | moments | requests: ok | failed, how | answered again after, s: median (longest)"
    " | not as it should be |",
    "|---|--:|--:|---|--:|---|",
)


def fault_row(name: str, moments: Sequence[Record]) -> str:
    answers: Counter[str] = Counter()
    for moment in moments:
        answers.update(moment["answers"])
    failed = ", ".join(f"{how} {count}" for how, count in sorted(answers.items()) if how != "ok")
    times = sorted(m["recovered_s"] for m in moments if m["recovered_s"] is not None)
    again = f"{times[len(times) // 2]:.1f} ({times[-1]:.1f})" if times else "–"
    problems = [problem for moment in moments for problem in moment["problems"]]
    cells = (name, len(moments), answers["ok"], failed or "–", again, "; ".join(problems) or "–")
    return f"| {' | '.join(map(str, cells))} |"


SERIES = {
    "gateway_anonymous_mb": "memory of the gateway (anonymous), MB",
    "template_anonymous_mb": "memory of the template (anonymous), MB",
    "gateway_mb": "memory of the gateway (USS), MB",
    "template_mb": "memory of the template (USS), MB",
    "descriptors": "descriptors of the gateway",
    "ttft_ms": "TTFT, ms",
}


_WHERE = {
    "host": "memory on the host (USS)",
    "device": "memory on the device",
}


def _label(name: str) -> str:
    """Return the label of a series: of the platform, or of a process ("device: instance 1")."""
    where, _, whose = name.partition(": ")
    return f"{_WHERE[where]}, {whose}, MB" if whose else SERIES[name]


def series_row(name: str, series: Record) -> str:
    low, high = series["ci95"]
    growth = f"{series['growth']:+z.2f} ({low:+z.2f} to {high:+z.2f})"
    most = "–" if series["may_grow"] is None else f"{series['may_grow']:.2f}"
    return f"| {_label(name)} | {series['median']:.1f} | {growth} | {most} |"


def before(record: Record) -> str:
    """Say which calls a soak made before it measured, if it did."""
    called = record.get("called_before")
    return f", after a first call of {called:,} functions" if called else ""


def yes(value: bool) -> str:
    return "yes" if value else "no"
