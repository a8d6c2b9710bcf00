"""What a gateway of ours tells at ``/metrics`` while it serves: start types and memory by owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from systems.interface import Endpoint
from systems.runtime.background import Background

EVERY_S = 2.0
MOST_FUNCTIONS = 64
"""A gateway of more is not asked: its answer would take time from its requests."""


@dataclass(frozen=True, slots=True)
class GatewayView:
    """``start_types``: requests by start type. ``memory``: bytes by owner. Empty if unknown."""

    start_types: Mapping[str, int] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)


def parse(text: str) -> GatewayView:
    """Parse the text of ``/metrics``; other servers' metrics give an empty view. Raise
    ``ValueError`` if it is not in Prometheus's form, or if our metrics are not as a gateway writes
    them."""
    try:
        return _parse(text)
    except (LookupError, OverflowError) as error:
        raise ValueError(f"no page of a gateway: {error!r}") from error


def _parse(text: str) -> GatewayView:
    from prometheus_client.parser import text_string_to_metric_families

    start_types: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "slbench_start_types_total":
                start_types[sample.labels["start_type"]] += int(sample.value)
            elif sample.name == "slbench_memory_bytes":
                memory[sample.labels["owner"]] += int(sample.value)
    return GatewayView(start_types, +memory)


class GatewayPoll(Background):
    """Context manager that asks an endpoint every ``EVERY_S`` in a thread; ``latest`` is what it
    said last."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("watch")
        self.latest = GatewayView()
        self._endpoint = endpoint

    def _run(self) -> None:
        from systems.serverful.http import get

        asked = len(self._endpoint.models) <= MOST_FUNCTIONS
        while asked and not self._stop.wait(EVERY_S):
            text = get(f"{self._endpoint.base_url}/metrics", self._endpoint.headers)
            try:
                self.latest = parse(text or "")
            except ValueError:
                return  # Another server's page.
