"""The fleet through random arrivals, ends, cancellations, failures and deaths."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from systems.serverful.ondemand.actions import (
    Action,
    End,
    Fail,
    Forward,
    Sleep,
    Start,
    Transition,
    Wake,
)
from systems.serverful.ondemand.fleet import Fleet, Phase

NAMES = ("a", "b", "c")
KEEP_ALIVE, TURN = 100, 20


class Machine(RuleBasedStateMachine):
    """A world that carries the actions out, and checks each against what it knows itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.begun: dict[str, Transition] = {}
        """By server: what is in progress."""
        self.waiting: dict[int, str] = {}
        self.running: dict[int, str] = {}
        self.calls = 0
        self.last_end: dict[str, int] = {}
        self.dead: set[str] = set()
        """Servers whose process is gone, while the fleet may not know yet."""

    @initialize(slots=st.integers(1, 3), asleep=st.booleans(), sleeps=st.booleans())
    def deploy(self, slots: int, asleep: bool, sleeps: bool) -> None:
        self.slots, self.sleeps = slots, sleeps
        asleep = asleep and sleeps
        phase = Phase.ASLEEP if asleep else Phase.OFF
        self.state = dict.fromkeys(NAMES, "asleep" if asleep else "off")
        times = {"keep_alive_ns": KEEP_ALIVE, "turn_ns": TURN}
        self.fleet = Fleet(NAMES, phase, slots=slots, sleeps=sleeps, **times)

    # -- what happens -----------------------------------------------------------------------

    @rule(server=st.sampled_from(NAMES))
    def arrive(self, server: str) -> None:
        self.calls += 1
        self.waiting[self.calls] = server
        self.perform(self.fleet.arrived(self.calls, server, self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(sorted(self.running))))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel_while_waiting(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(sorted(self.waiting))))

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), well=st.sampled_from((True, True, True, False)))
    def complete_one(self, data: st.DataObject, well: bool) -> None:
        self.complete(data.draw(st.sampled_from(sorted(self.begun))), well)

    def complete(self, server: str, well: bool = True) -> None:
        begun = self.begun.pop(server)
        if isinstance(begun, End):
            self.dead.discard(server)
            self.state[server] = "off"
        elif well and server not in self.dead:
            self.state[server] = "asleep" if isinstance(begun, Sleep) else "awake"
            self.last_end[server] = self.now
        else:
            self.state[server] = "broken"
            failures = self.fleet.failed(server, "broken", self.now)
            return self.perform(failures)
        return self.perform(self.fleet.done(server, self.now))

    @rule(server=st.sampled_from(NAMES))
    def die(self, server: str) -> None:
        if self.state[server] != "off":
            self.dead.add(server)
            for call in [call for call, on in self.running.items() if on == server]:
                self.leave(call)

    @precondition(lambda self: self.dead)
    @rule()
    def look(self) -> None:
        """Tell of deaths outside of transitions, as a watch does."""
        for server in self.dead.intersection(self.fleet.resting()):
            self.state[server] = "broken"
            self.perform(self.fleet.died(server, self.now))

    @rule(by=st.integers(1, 150))
    def advance(self, by: int) -> None:
        end = self.now + by
        while (due := self.fleet.due(self.now)) is not None and due <= end:
            self.now = due
            self.perform(self.fleet.tick(self.now))
        self.now = end

    def leave(self, call: int) -> None:
        server = self.running.pop(call, None)
        self.waiting.pop(call, None)
        if server is not None:
            self.last_end[server] = self.now
        for _ in range(2):
            self.perform(self.fleet.left(call, self.now))

    # -- what is told -----------------------------------------------------------------------

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Forward):
                server = self.waiting.pop(action.call)
                assert self.state[server] == "awake", "a call to a server that is not awake"
                self.running[action.call] = server
            elif isinstance(action, Fail):
                assert self.state[self.waiting.pop(action.call)] == "broken"
            else:
                self.begin(action)

    def begin(self, action: Transition) -> None:
        server, rests = action.server, isinstance(action, Sleep if self.sleeps else End)
        before = {Start: "off", Wake: "asleep", Sleep: "awake", End: "broken"}[type(action)]
        rests = rests and self.state[server] != "broken"
        assert self.state[server] == ("awake" if rests else before)
        if self.state[server] != "broken" and self.sleeps:
            assert not self.begun, "two transitions at once"
        if isinstance(action, Start | Wake):
            assert server in self.waiting.values(), "nobody called it"
            assert self.up() < self.slots
        if rests:
            assert server not in self.running.values(), "put to sleep amid a stream"
            idle = self.now - self.last_end[server]
            assert self.wanted() or idle >= KEEP_ALIVE, "asleep before its keep-alive is over"
        self.state[server] = "moving"
        self.begun[server] = action

    def up(self) -> int:
        return sum(state not in ("off", "asleep") for state in self.state.values())

    def wanted(self) -> set[str]:
        return {each for each in self.waiting.values() if self.state[each] in ("off", "asleep")}

    @invariant()
    def no_call_waits_without_reason(self) -> None:
        if not (self.sleeps and self.begun) and self.calls:
            free = self.up() < self.slots
            assert not (self.wanted() and free), "a free slot and a call that waits"
        if not self.begun and self.calls:
            assert self.wanted() or not self.waiting, "its server is awake"

    def teardown(self) -> None:
        """Without further arrivals all calls are answered, and then every server sleeps."""
        for _ in range(4 * (len(self.waiting) + len(NAMES)) + 4):
            for server in list(self.begun):
                self.complete(server)
            self.look()
            for call in list(self.running):
                self.leave(call)
            self.advance(TURN)
        assert not self.waiting, "a call waits forever"
        for _ in range(2 * len(NAMES)):
            self.advance(2 * KEEP_ALIVE)
            for server in list(self.begun):
                self.complete(server)
        assert "awake" not in self.state.values(), "a server without calls stays awake"


Machine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestFleet = Machine.TestCase


def fleet(slots: int = 1) -> Fleet:
    return Fleet(NAMES, Phase.ASLEEP, slots=slots, keep_alive_ns=KEEP_ALIVE, turn_ns=TURN)


def test_the_keep_alive_counts_from_the_last_call_that_ended() -> None:
    here = fleet()
    here.arrived(1, "a", 0)
    here.done("a", 10)
    here.arrived(2, "a", 20)
    here.left(1, 30)
    assert here.due(30) is None, "a call runs"
    here.left(2, 70)
    assert here.due(70) == 70 + KEEP_ALIVE
    assert here.tick(70 + KEEP_ALIVE - 1) == []
    assert here.tick(70 + KEEP_ALIVE) == [Sleep("a")]


def test_a_call_that_comes_while_its_server_goes_to_sleep_wakes_it_then() -> None:
    here = fleet()
    here.arrived(1, "a", 0)
    here.done("a", 1)
    here.left(1, 2)
    assert here.tick(2 + KEEP_ALIVE) == [Sleep("a")]
    assert here.arrived(2, "a", 110) == []
    assert here.arrived(3, "a", 111) == []
    assert here.done("a", 112) == [Wake("a")]
    assert here.done("a", 120) == [Forward(2), Forward(3)]


def test_a_server_that_never_idles_gives_its_slot_up_after_its_turn() -> None:
    here = fleet()
    here.arrived(1, "a", 0)
    here.done("a", 0)
    assert here.arrived(2, "b", 5) == []
    assert here.arrived(3, "a", 6) == [Forward(3)], "its turn is not over"
    assert here.due(6) == TURN
    assert here.tick(TURN) == []
    assert here.arrived(4, "a", TURN + 1) == [], "it takes no more"
    here.left(1, TURN + 2)
    assert here.left(3, TURN + 3) == [Sleep("a")]
    assert here.done("a", TURN + 4) == [Wake("b")]


@pytest.mark.parametrize("cancelled", [1, 2])
def test_a_wake_goes_on_when_a_client_that_waits_for_it_leaves(cancelled: int) -> None:
    here = fleet()
    assert here.arrived(1, "a", 0) == [Wake("a")]
    here.arrived(2, "a", 1)
    assert here.left(cancelled, 2) == []
    assert here.done("a", 3) == [Forward(3 - cancelled)]


def test_servers_that_cannot_sleep_start_together_and_one_gives_way_to_one() -> None:
    times = {"keep_alive_ns": KEEP_ALIVE, "turn_ns": TURN}
    here = Fleet(NAMES, Phase.OFF, slots=2, sleeps=False, **times)
    assert here.arrived(1, "a", 0) == [Start("a")]
    assert here.arrived(2, "b", 1) == [Start("b")]
    assert here.done("b", 5) == [Forward(2)]
    assert here.done("a", 6) == [Forward(1)]
    here.left(1, 7)
    here.left(2, 8)
    assert here.arrived(3, "c", 9) == [End("a")], "idle for longest"
    assert here.arrived(4, "c", 10) == []
    assert here.done("a", 11) == [Start("c")]
    assert here.done("c", 12) == [Forward(3), Forward(4)]
