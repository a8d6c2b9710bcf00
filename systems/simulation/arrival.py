"""The load of a simulation: requests at their own times, or sent by users that wait for answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from .clock import Clock


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a schedule; ``at_ns`` is when the client sends it."""

    id: int
    at_ns: int
    function: str
    prompt_tokens: int
    output_tokens: int


class Load(Protocol):
    """Sends requests to a simulated system."""

    def drive(
        self,
        clock: Clock,
        submit: Callable[[Arrival], None],
        there_ns: int,
        back_ns: int,
    ) -> None:
        """Run the clock until every request has ended. ``submit``: called when a request reaches
        the system, ``there_ns`` after it was sent; answers reach the client after ``back_ns``."""

    def ended(self) -> None:
        """A request has ended now, in whatever way."""

    def sent_ns(self, arrival: Arrival) -> int:
        """Return when a request was sent."""


@dataclass(frozen=True)
class OpenLoad:
    """``arrivals`` in order of time."""

    arrivals: Iterable[Arrival]

    def drive(
        self,
        clock: Clock,
        submit: Callable[[Arrival], None],
        there_ns: int,
        back_ns: int,  # noqa: ARG002
    ) -> None:
        for each in self.arrivals:
            clock.run_until(each.at_ns + there_ns)
            submit(each)
        clock.run()

    def ended(self) -> None:
        """Ignore it: every request has its time."""

    def sent_ns(self, arrival: Arrival) -> int:
        return arrival.at_ns


class ClosedLoad:
    """Users that send ``arrivals`` in order, each the next one ``think_ns`` after its last answer.
    ``starts_ns``: when each user begins. Use an object for one simulation."""

    def __init__(
        self, arrivals: Sequence[Arrival], starts_ns: Sequence[int], think_ns: int
    ) -> None:
        self._waiting, self._starts_ns, self._think_ns = deque(arrivals), starts_ns, think_ns
        self._sent_ns: dict[int, int] = {}
        self._user_ready: Callable[[], None] = lambda: None

    def drive(
        self, clock: Clock, submit: Callable[[Arrival], None], there_ns: int, back_ns: int
    ) -> None:
        def send() -> None:
            if self._waiting:
                each = self._waiting.popleft()
                self._sent_ns[each.id] = clock.now
                clock.at(clock.now + there_ns, partial(submit, each))

        self._user_ready = lambda: clock.at(clock.now + back_ns + self._think_ns, send)
        for start_ns in self._starts_ns:
            clock.at(start_ns, send)
        clock.run()

    def ended(self) -> None:
        self._user_ready()

    def sent_ns(self, arrival: Arrival) -> int:
        return self._sent_ns[arrival.id]
