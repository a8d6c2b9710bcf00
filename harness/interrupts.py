"""Requests to end this process: SIGINT, SIGTERM, SIGHUP.

A request is raised wherever the main thread is. In a finalizer or a weakref callback Python only
prints it, so it is remembered, and :func:`check` raises it again. An extension module may raise an
exception of its own instead, which :func:`surfacing` undoes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import InterruptedRunError

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked = False


class EndRequestedError(KeyboardInterrupt):
    """A type of its own: where a ``KeyboardInterrupt`` itself passes through code that an extension
    module runs, Python later ends with SIGINT instead of the exit status."""


def listen() -> None:
    """Raise :class:`EndRequestedError` on each request. An ignored signal stays ignored."""
    for number in NUMBERS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _request)


def check() -> None:
    """Raise :class:`EndRequestedError` if there was a request."""
    if _asked:
        raise EndRequestedError


@contextmanager
def surfacing() -> Iterator[None]:
    """Raise :class:`EndRequestedError` instead of an exception that was raised after a request,
    unless that says what is kept of a run."""
    try:
        yield
    except InterruptedRunError:
        raise
    except Exception as error:
        if _asked:
            raise EndRequestedError from error
        raise


def _request(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    global _asked
    _asked = True
    raise EndRequestedError
