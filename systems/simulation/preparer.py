"""The preparation of an idle process in virtual time, which goes on until a request comes."""

from __future__ import annotations

import math
from collections.abc import Callable

from systems.runtime.preparation_pace import Pace

from .clock import Clock, Job, Shared
from .shapes import Shapes


class Preparer:
    """Goes through the shapes of an idle process, a call after another, on ``device``. A request
    waits for the end of the call that runs."""

    def __init__(self, clock: Clock, device: Shared, shapes: Shapes) -> None:
        self.shapes = shapes
        self._clock, self._device = clock, device
        self._pace = Pace(lambda: clock.now / 1e9)
        self._idle = self._waiting = self._dead = False
        self._job: Job | None = None
        self._calls = 0
        self._then: Callable[[], object] | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do, or the process has ended."""
        return self._dead or not self.shapes.unprepared

    def idle(self) -> None:
        """Record that the process has nothing else to do."""
        self._idle = True
        if self._job is not None or self.complete:
            return
        wait_ms = self._pace.wait_ms()
        if not wait_ms:
            self._begin(self.shapes.unprepared if self._pace.allowed else 1)
        elif not self._waiting:
            self._waiting = True
            self._clock.at(self._clock.now + wait_ms * 1_000_000, self._waited)

    def _waited(self) -> None:
        self._waiting = False
        self._go_on()

    def _go_on(self) -> None:
        if self._idle:
            self.idle()

    def _begin(self, calls: int) -> None:
        self._calls = calls
        self._job = self._device.start(calls * self.shapes.prepare_ns, self._ended)

    def busy(self, then: Callable[[], object]) -> None:
        """Stop for work, and call ``then`` once the call that runs has ended."""
        self._idle = False
        if self._job is None:
            then()
        else:
            self._then = then
            self._finish_call()

    def allow(self, allowed: bool) -> None:
        """Record whether the device is free for calls one after another."""
        self._pace.allowed = allowed
        if self._job is not None and not allowed:
            self._finish_call()
        elif allowed:
            self._go_on()

    def end(self) -> None:
        """End with the process or its engine."""
        self._idle, self._dead, self._then = False, True, None
        if self._job is not None:
            self._device.cancel(self._job)
            self._job = None

    def _finish_call(self) -> None:
        """End after the current call, of which a part may be done."""
        assert self._job is not None
        left_ns = self._device.cancel(self._job)
        whole = math.floor(left_ns / self.shapes.prepare_ns + 1e-9)
        self._calls -= whole
        rest_ns = max(left_ns - whole * self.shapes.prepare_ns, 0.0)
        self._job = self._device.start(rest_ns, self._ended)

    def _ended(self) -> None:
        self._job = None
        self.shapes.prepared(self._calls)
        self._pace.prepared()
        then, self._then = self._then, None
        if then is not None:
            then()
        elif self._idle:
            self.idle()
