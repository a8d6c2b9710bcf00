"""The offset of another clock is never wrong by more than the stated error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from systems.runtime.links.offset import ClockOffset, clock_id

delays = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=20)


@given(offset_ns=st.integers(-(10**18), 10**18), delays=delays)
def test_the_offset_is_right_to_its_error_however_uneven_the_way(
    offset_ns: int, delays: list[tuple[int, int]]
) -> None:
    clock, now = ClockOffset(), 5_000
    for there_ns, back_ns in delays:
        clock.heard(now, now + there_ns + offset_ns, now + there_ns + back_ns)
        now += there_ns + back_ns + 1
    found = clock.measured
    assert abs(found.offset_ns - offset_ns) <= found.error_ns
    assert found.error_ns <= min((there + back + 1) // 2 for there, back in delays)


def test_a_time_of_theirs_is_told_on_our_clock() -> None:
    clock = ClockOffset()
    clock.heard(100, 1_105, 110)
    assert clock.ours(1_200) == 200
    assert ClockOffset(same=True).ours(1_200) == 1_200


def test_an_exchange_too_long_ago_no_longer_counts() -> None:
    """Clocks drift, so the fastest exchange of all may be outdated."""
    clock = ClockOffset(window=2)
    clock.heard(0, 50, 1)
    clock.heard(10, 80, 20)
    clock.heard(30, 102, 44)
    assert clock.measured.error_ns == 5


def test_a_machine_knows_its_own_clock() -> None:
    assert clock_id() == clock_id()
    assert len(clock_id()) > 30
