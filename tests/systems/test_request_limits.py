"""Limits of the requests of each function or caller: no stream of requests exceeds one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from systems.request_limits import Limiter, RequestLimits

SECOND = 1_000_000_000
gaps = st.lists(st.integers(0, SECOND // 2), min_size=1, max_size=60)
rates = st.floats(0.5, 50)
few = settings(max_examples=50)


def accepted(limiter: Limiter, times: Sequence[int], key: str = "f0") -> list[int]:
    """Return the times of those requests at ``times`` that began."""
    begun = []
    for now in times:
        if limiter.excess(key, now) is None:
            limiter.begin(key, now)
            begun.append(now)
    return begun


def times_of(gaps_ns: Sequence[int]) -> list[int]:
    return [sum(gaps_ns[: index + 1]) for index in range(len(gaps_ns))]


@few
@given(gaps, rates, st.integers(1, 10))
def test_no_window_of_time_has_more_requests_than_the_rate_and_a_burst(
    gaps_ns: list[int], rate: float, burst: int
) -> None:
    begun = accepted(
        Limiter("function", RequestLimits(rate_per_s=rate, burst=burst)), times_of(gaps_ns)
    )
    for first, since in enumerate(begun):
        for last in range(first, len(begun)):
            assert last - first + 1 <= burst + rate * (begun[last] - since) / 1e9


@few
@given(gaps, rates, st.integers(1, 10))
def test_a_rejected_request_is_accepted_when_it_was_told_to_return_and_not_before(
    gaps_ns: list[int], rate: float, burst: int
) -> None:
    limiter = Limiter("function", RequestLimits(rate_per_s=rate, burst=burst))
    for now in times_of(gaps_ns):
        excess = limiter.excess("f0", now)
        if excess is None:
            limiter.begin("f0", now)
        else:
            assert limiter.excess("f0", now + excess.retry_after_ns - 1) is not None
            assert limiter.excess("f0", now + excess.retry_after_ns) is None


def test_a_steady_stream_at_the_rate_is_never_rejected() -> None:
    limiter = Limiter("function", RequestLimits(rate_per_s=4))
    steady = [number * SECOND // 4 for number in range(100)]
    assert accepted(limiter, steady) == steady


@few
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=60), st.integers(1, 5))
def test_each_key_has_at_most_as_many_in_flight_whatever_others_have(
    steps: list[tuple[str, bool]], most: int
) -> None:
    limiter, begun = Limiter("caller", RequestLimits(in_flight=most)), {"a": 0, "b": 0}
    for key, arrives in steps:
        if arrives:
            accept = limiter.excess(key, 0) is None
            assert accept == (begun[key] < most)
            if accept:
                limiter.begin(key, 0)
                begun[key] += 1
        elif begun[key]:
            limiter.end(key)
            begun[key] -= 1
        assert {each: limiter.in_flight(each) for each in begun} == begun


def test_a_rejection_names_the_limit_and_takes_no_token() -> None:
    limiter = Limiter("function", RequestLimits(in_flight=1, waiting=5, rate_per_s=2))
    limiter.begin("f0", 0)
    excess = limiter.excess("f0", SECOND)
    assert excess is not None
    assert excess.reason == "this function has reached its limit of 1 requests in flight"
    limiter.end("f0")
    assert limiter.excess("f0", SECOND // 2) is None
    waiting = limiter.excess("f0", SECOND, waiting=5)
    assert waiting is not None
    assert "5 waiting requests" in waiting.reason
