"""Counts of requests by function, as a collector of prometheus_client.

A counter of prometheus_client keeps about a kilobyte for each set of labels: objects, locks and the
time when it was made. A gateway of thousands of functions keeps numbers instead, and makes the
samples when they are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class RequestCounts(Collector):
    """Requests that are running, that ended, and that reached an instance."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._started: Counter[tuple[str, str]] = Counter()

    def received(self, function: str) -> None:
        self._running[function] += 1

    def ended(self, function: str, outcome: str, start_type: str | None) -> None:
        """Count the end of a request. ``start_type``: None if it reached no instance."""
        self._running[function] -= 1
        self._ended[function, outcome] += 1
        if start_type is not None:
            self._started[function, start_type] += 1

    def collect(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            "slbench_requests_running",
            "Requests that were received and have not ended.",
            labels=["function"],
        )
        for function, count in self._running.items():
            running.add_metric([function], count)
        yield running
        yield _counter(
            "slbench_requests",
            "Requests that ended: answered, failed, or the caller left.",
            "outcome",
            self._ended,
        )
        yield _counter(
            "slbench_start_types",
            "Requests that reached an instance, by their start type.",
            "start_type",
            self._started,
        )


def _counter(
    name: str, documentation: str, label: str, counts: Counter[tuple[str, str]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=["function", label])
    for labels, count in counts.items():
        family.add_metric(labels, count)
    return family
