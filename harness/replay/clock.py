"""Wakes an event loop at absolute times, with microsecond accuracy.

Timers of an event loop have millisecond resolution. A timerfd has nanosecond resolution but wakes
some tens of microseconds late, so the loop spins for the last stretch, one turn at a time, and
reads sockets meanwhile.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

SPIN_NS = 100_000

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK, _TFD_CLOEXEC = 0o4000, 0o2000000
_TFD_TIMER_ABSTIME = 1
_SECOND = 1_000_000_000


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Alarm:
    """Calls back on the loop when the monotonic clock reaches the set time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")
        self._loop, self._callback = loop, callback
        loop.add_reader(self._fd, self._rang)

    def set(self, at_ns: int) -> None:
        """Schedule one call at ``at_ns``; replaces an earlier one."""
        spec = _Spec(0, 0, *divmod(max(at_ns, 1), _SECOND))
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)

    def close(self) -> None:
        """Close the timer; safe to call twice."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _rang(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._callback()


class Dispatcher:
    """Calls ``send(i)`` at each of ``due_ns`` (absolute, sorted). Late ones are sent at once, in
    order, one per turn of the loop so that reading continues. Never skips one or shifts the
    schedule."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        due_ns: list[int],
        send: Callable[[int], None],
        *,
        spin_ns: int = SPIN_NS,
    ) -> None:
        self._loop, self._due_ns, self._send, self._spin_ns = loop, due_ns, send, spin_ns
        self._alarm = Alarm(loop, self._turn)
        self._next = 0
        self._stopped = False

    def start(self) -> None:
        self._turn()

    def stop(self) -> None:
        self._stopped = True
        self._alarm.close()

    def ended(self, at_ns: int) -> None:
        """Ignore that an exchange has ended: the load is open."""

    def _turn(self) -> None:
        if self._stopped or self._next == len(self._due_ns):
            return
        left_ns = self._due_ns[self._next] - time.monotonic_ns()
        if left_ns <= 0:
            self._next += 1
            self._send(self._next - 1)
        if self._next < len(self._due_ns):
            left_ns = self._due_ns[self._next] - time.monotonic_ns()
            if left_ns > self._spin_ns:
                self._alarm.set(self._due_ns[self._next] - self._spin_ns)
            else:
                self._loop.call_soon(self._turn)


class LagProbe:
    """Measures how late the loop serves its own timer: a token arriving then is read as late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, every_ns: int = 10_000_000) -> None:
        self.lags_ns: list[int] = []
        self._every_ns = every_ns
        self._due_ns = 0
        self._alarm = Alarm(loop, self._rang)

    def start(self, at_ns: int) -> None:
        self._due_ns = at_ns
        self._alarm.set(at_ns)

    def close(self) -> None:
        self._alarm.close()

    def _rang(self) -> None:
        now = time.monotonic_ns()
        self.lags_ns.append(now - self._due_ns)
        # The next tick counts from now, so a stall is one long lag instead of a hundred.
        self.start(now + self._every_ns)
