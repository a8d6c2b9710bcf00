"""Limits of each caller's requests. They are checked before a request's body is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from systems.request_limits import Limiter, RequestLimits

from . import schema
from .refusal import RefusalError


class Callers:
    """Counts the requests of each caller, from their headers to the end of their response."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limiter = Limiter("caller", limits)

    @contextmanager
    def admitted(self, caller: str, now_ns: int) -> Iterator[None]:
        """Count a request while the context lasts. Raise ``RefusalError`` (429) if it exceeds a
        limit of its caller."""
        excess = self._limiter.excess(caller, now_ns)
        if excess is not None:
            wait_s = schema.retry_after_s(excess.retry_after_ns)
            raise RefusalError(429, excess.reason, "rate_limit_exceeded", retry_after_s=wait_s)
        self._limiter.begin(caller, now_ns)
        try:
            yield
        finally:
            self._limiter.end(caller)
