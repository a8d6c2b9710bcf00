"""Computes means from Prometheus metrics: sums and counts of a histogram, over all labels."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


def total(text: str, name: str) -> float:
    """Sum all samples called ``name``, whatever their labels; 0.0 if there are none. Raises
    ``ValueError`` if ``text`` is not in Prometheus' text format."""
    try:
        families = list(text_string_to_metric_families(text))
    except IndexError as error:  # the parser's own, for some malformed labels
        raise ValueError("malformed labels") from error
    return sum(
        sample.value for family in families for sample in family.samples if sample.name == name
    )


def ttft(before: str, after: str, histogram: str) -> Mapping[str, float]:
    """Return ``ttft_mean_s`` and ``ttft_n`` of the requests between two scrapes; empty if none.
    Raises ``ValueError`` like :func:`total`."""
    n = total(after, f"{histogram}_count") - total(before, f"{histogram}_count")
    if n <= 0:
        return {}
    seconds = total(after, f"{histogram}_sum") - total(before, f"{histogram}_sum")
    return {"ttft_mean_s": seconds / n, "ttft_n": n}
