"""Metrics of a gateway in Prometheus's text form, for ``GET /metrics``; docs/watch.md has all."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from systems.interface import MemoryStep, RequestTrace, Stage

from .request_counts import RequestCounts

CONTENT_TYPE = CONTENT_TYPE_LATEST
_TTFT_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_TPOT_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1)
_NS = 1e9


class Metrics:
    """What a gateway has seen since it started, by its own clock."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = RequestCounts()
        registry.register(self._requests)
        self._rejected = Counter(
            "slbench_rejected",
            "Requests that were rejected for a limit of their caller, before they were read.",
            registry=registry,
        )
        self._ttft = Histogram(
            "slbench_ttft_seconds",
            "From the receipt of a request to its first token.",
            registry=registry,
            buckets=_TTFT_S,
        )
        self._tpot = Histogram(
            "slbench_tpot_seconds",
            "Time per output token after the first.",
            registry=registry,
            buckets=_TPOT_S,
        )
        self._memory = Gauge(
            "slbench_memory_bytes",
            "Memory by the system's own ledger.",
            ["device", "owner"],
            registry=registry,
        )
        self._held: dict[tuple[str, str, str | None], int] = {}

    def received(self, function: str) -> None:
        """Count a request that was accepted; its ``ended`` follows."""
        self._requests.received(function)

    def rejected(self) -> None:
        """Count a request that was rejected before its function was known."""
        self._rejected.inc()

    def ended(self, trace: RequestTrace, tokens: int | None = None) -> None:
        """Count the end of a request. ``tokens``: of its answer; None: unknown."""
        start_type = None if trace.start_type is None else trace.start_type.value
        self._requests.ended(trace.function_id, _outcome(trace), start_type)
        spans = {span.stage: span for span in trace.spans}
        first = spans.get(Stage.PREFILL)
        if first is not None:
            self._ttft.observe((first.end_ns - trace.received_ns) / _NS)
        decode = spans.get(Stage.DECODE)
        if decode is not None and tokens is not None and tokens > 1:
            took_s = (decode.end_ns - decode.start_ns) / _NS
            self._tpot.observe(took_s / (tokens - 1))

    def memory(self, step: MemoryStep) -> None:
        """Take note of what an owner holds on a device from now on."""
        key = (step.device, step.owner.value, step.function_id)
        change = step.bytes - self._held.pop(key, 0)
        if step.bytes:
            self._held[key] = step.bytes
        self._memory.labels(step.device, step.owner.value).inc(change)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text form."""
        return generate_latest(self._registry)


def _outcome(trace: RequestTrace) -> str:
    if trace.responded_ns is None:
        return "left"
    return "answered" if trace.spans else "failed"
