"""Parses sums and counts over all labels from Prometheus' text format, to compute means."""

from __future__ import annotations

from collections.abc import Mapping


def total(text: str, name: str) -> float:
    """Sum all samples called ``name``, whatever their labels; 0.0 if there are none."""
    values = (
        line.rsplit(" ", 1)[1]
        for line in text.splitlines()
        if line.partition(" ")[0].partition("{")[0] == name
    )
    return sum(map(float, values))


def ttft(before: str, after: str, histogram: str) -> Mapping[str, float]:
    """Return ``ttft_mean_s`` and ``ttft_n`` of the requests between two scrapes; empty if none."""
    n = total(after, f"{histogram}_count") - total(before, f"{histogram}_count")
    if n <= 0:
        return {}
    seconds = total(after, f"{histogram}_sum") - total(before, f"{histogram}_sum")
    return {"ttft_mean_s": seconds / n, "ttft_n": n}
