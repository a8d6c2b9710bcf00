"""Decides which servers are awake. Events in, actions out; reads no clock and does no I/O. Times
are nanoseconds of one clock.

- A call goes to its server when that is awake, and waits until then. Calls that wait for the same
  server wake it once.
- At most ``slots`` servers are awake at once. The server whose first call has waited longest comes
  first. It takes the slot of the server that has been idle longest. If none is idle, the server
  that has been awake longest, and at least ``turn_ns``, takes no new calls and gives its slot up
  when its calls have ended.
- A server without calls goes to sleep ``keep_alive_ns`` after its last call ended. One that cannot
  sleep ends instead.
- Servers that can sleep start, wake and go to sleep one at a time (those that start before the
  proxy answers do so without this module). They share the link to the host, so together they would
  not be faster; vLLM measures the card's free memory while it starts; and a change of the card's
  memory is then due to one server. Others start and end at any time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from .actions import Action, End, Fail, Forward, Sleep, Start, Transition, Wake


class Phase(enum.Enum):
    OFF = enum.auto()
    STARTING = enum.auto()
    AWAKE = enum.auto()
    FALLING_ASLEEP = enum.auto()
    ASLEEP = enum.auto()
    WAKING = enum.auto()
    ENDING = enum.auto()


_DONE = {
    Phase.STARTING: Phase.AWAKE,
    Phase.WAKING: Phase.AWAKE,
    Phase.FALLING_ASLEEP: Phase.ASLEEP,
    Phase.ENDING: Phase.OFF,
}
"""The phase after a transition."""
_LEAVING = (Phase.FALLING_ASLEEP, Phase.ENDING)
"""A server in these phases is about to give its slot up."""


@dataclass(slots=True)
class _Server:
    name: str
    phase: Phase
    waiting: dict[int, int] = field(default_factory=dict)
    """Calls and when they arrived, in that order."""
    running: set[int] = field(default_factory=set)
    awake_since: int = 0
    idle_since: int = 0

    @property
    def idle(self) -> bool:
        return self.phase is Phase.AWAKE and not self.running

    @property
    def wanted_since(self) -> int | None:
        """When the first call arrived that needs this server to wake; None without one."""
        asleep = self.phase in (Phase.OFF, Phase.ASLEEP)
        return next(iter(self.waiting.values()), None) if asleep else None


class Fleet:
    """The servers ``names``, all in ``phase`` (``OFF`` or ``ASLEEP``). ``sleeps``: whether they can
    sleep."""

    def __init__(
        self,
        names: Iterable[str],
        phase: Phase,
        *,
        slots: int,
        keep_alive_ns: int,
        turn_ns: int,
        sleeps: bool = True,
    ) -> None:
        self._servers = {name: _Server(name, phase) for name in names}
        self._slots = slots
        self._keep_alive_ns = keep_alive_ns
        self._turn_ns = turn_ns
        self._sleeps = sleeps
        self._server_of: dict[int, _Server] = {}

    # -- events -----------------------------------------------------------------------------

    def arrived(self, call: int, server: str, now: int) -> list[Action]:
        self._server_of[call] = self._servers[server]
        self._servers[server].waiting[call] = now
        return self._settle(now)

    def left(self, call: int, now: int) -> list[Action]:
        """Handle the end of a call, whether it was answered, cancelled or failed. May be called
        twice."""
        server = self._server_of.pop(call, None)
        if server is None:
            return []
        server.waiting.pop(call, None)
        if call in server.running:
            server.running.remove(call)
            server.idle_since = now
        return self._settle(now)

    def done(self, server: str, now: int) -> list[Action]:
        """Handle the end of the server's transition."""
        here = self._servers[server]
        here.phase = _DONE[here.phase]
        here.awake_since = here.idle_since = now
        return self._settle(now)

    def failed(self, server: str, reason: str, now: int) -> list[Action]:
        """Handle a transition that failed: the calls that waited for it fail, and what is left of
        the server is ended. The next call starts it again."""
        here = self._servers[server]
        failures = [Fail(call, reason) for call in here.waiting]
        here.waiting.clear()
        here.phase = Phase.ENDING
        return [*failures, End(server), *self._settle(now)]

    def died(self, server: str, now: int) -> list[Action]:
        """Handle the death of a server outside of a transition. Its running calls end by
        themselves; those that wait start it again."""
        self._servers[server].phase = Phase.ENDING
        return [End(server), *self._settle(now)]

    def tick(self, now: int) -> list[Action]:
        """Decide what depends on the time alone."""
        return self._settle(now)

    # -- decisions --------------------------------------------------------------------------

    def due(self, now: int) -> int | None:
        """Return the next time at which :meth:`tick` may decide something; None: never."""
        times = [each.idle_since + self._keep_alive_ns for each in self._all() if each.idle]
        if self._wanted():
            times += [each.awake_since + self._turn_ns for each in self._all() if each.running]
        return min((time for time in times if time > now), default=None)

    def resting(self) -> list[str]:
        """Return the servers that have a process and no transition: those whose death is told by
        :meth:`died`."""
        return [each.name for each in self._all() if each.phase in (Phase.AWAKE, Phase.ASLEEP)]

    def moving(self) -> list[str]:
        """Return the servers in a transition."""
        return [each.name for each in self._all() if each.phase in _DONE]

    def _settle(self, now: int) -> list[Action]:
        victim = self._giving_up(now)
        actions: list[Action] = [
            Forward(call)
            for each in self._all()
            if each.phase is Phase.AWAKE and each is not victim
            for call in self._admit(each)
        ]
        while (step := self._step(now)) is not None:
            actions.append(step)
        return actions

    @staticmethod
    def _admit(server: _Server) -> list[int]:
        calls = list(server.waiting)
        server.waiting.clear()
        server.running.update(calls)
        return calls

    def _step(self, now: int) -> Transition | None:
        """Begin a transition, if there is reason for one."""
        if self._sleeps and self.moving():
            return None
        wanted = self._wanted()
        if wanted and self._up() < self._slots:
            return self._rouse(wanted[0])
        victim = self._giving_up(now)
        if victim is not None:
            return self._rest(victim) if victim.idle else None
        expired = [e for e in self._all() if e.idle and e.idle_since + self._keep_alive_ns <= now]
        return self._rest(min(expired, key=_idle_since)) if expired else None

    def _giving_up(self, now: int) -> _Server | None:
        """Return the server that gives its slot to one that is wanted; None if there are slots for
        those, now or soon, or if all servers have been awake for less than their turn."""
        awake = [each for each in self._all() if each.phase is Phase.AWAKE]
        soon = sum(each.phase in _LEAVING for each in self._all()) + self._slots - self._up()
        if len(self._wanted()) <= soon or not awake:
            return None
        idle = [each for each in awake if each.idle and not each.waiting]
        if idle:
            return min(idle, key=_idle_since)
        longest = min(awake, key=lambda each: each.awake_since)
        return longest if longest.awake_since + self._turn_ns <= now else None

    def _up(self) -> int:
        """Return the number of slots that are taken."""
        return sum(each.phase not in (Phase.OFF, Phase.ASLEEP) for each in self._all())

    @staticmethod
    def _rouse(server: _Server) -> Transition:
        start = server.phase is Phase.OFF
        server.phase = Phase.STARTING if start else Phase.WAKING
        return Start(server.name) if start else Wake(server.name)

    def _rest(self, server: _Server) -> Transition:
        server.phase = Phase.FALLING_ASLEEP if self._sleeps else Phase.ENDING
        return Sleep(server.name) if self._sleeps else End(server.name)

    def _wanted(self) -> list[_Server]:
        """Return the servers that calls need to be woken, the longest wait first."""
        since = {
            each.name: each.wanted_since for each in self._all() if each.wanted_since is not None
        }
        return [self._servers[name] for name in sorted(since, key=lambda name: since[name])]

    def _all(self) -> Iterable[_Server]:
        return self._servers.values()


def _idle_since(server: _Server) -> int:
    return server.idle_since
