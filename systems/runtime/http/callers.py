"""Limits of each caller's requests. They are checked before a request's body is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from systems.request_limits import Limiter, RequestLimits
from systems.runtime.metrics import Metrics

from . import schema
from .refusal import RefusalError


class Callers:
    """Counts the requests of each caller, from their headers to the end of their response, and in
    ``metrics`` those that it rejects."""

    def __init__(self, limits: RequestLimits, metrics: Metrics | None = None) -> None:
        self._limiter = Limiter("caller", limits)
        self._metrics = metrics

    @contextmanager
    def admitted(self, caller: str, now_ns: int) -> Iterator[None]:
        """Count a request while the context lasts. Raise ``RefusalError`` (429) if it exceeds a
        limit of its caller."""
        excess = self._limiter.excess(caller, now_ns)
        if excess is not None:
            if self._metrics is not None:
                self._metrics.rejected()
            wait_s = schema.retry_after_s(excess.retry_after_ns)
            raise RefusalError(429, excess.reason, "rate_limit_exceeded", retry_after_s=wait_s)
        self._limiter.begin(caller, now_ns)
        try:
            yield
        finally:
            self._limiter.end(caller)
