"""The option ``fair_shares``, in virtual time: a flood delays its own tenant."""

from __future__ import annotations

from systems.serverless.simulated.run import Outcome

from .shared import arrivals, run

START = [(f"f{number}", 0.0) for number in range(4)]
FLOOD = [*START, *[("f0", 60.0)] * 200, ("f1", 60.5), ("f2", 60.5)]


def played(load: list[tuple[str, float]], *, fair: bool) -> Outcome:
    """Play a load of two tenants, f0 and f2 of one, whose functions share an instance."""
    options = {"fair_shares": fair, "shared_batch_size": 4}
    return run(arrivals(load, tokens=32), functions=4, tenants=2, options=options)


def test_a_flood_delays_the_calls_of_its_own_tenant_alone() -> None:
    fair, first_come = (played(FLOOD, fair=each) for each in (True, False))
    other, same_tenant = len(FLOOD) - 2, len(FLOOD) - 1

    def ttft_s(outcome: Outcome, request: int) -> float:
        return float(outcome.seen(request)["first_token_ns"]) / 1e9 - 60.5

    assert ttft_s(first_come, other) > 10
    assert ttft_s(fair, other) < 1
    assert ttft_s(fair, same_tenant) > 10


def test_where_nobody_waits_it_changes_nothing() -> None:
    seldom = [*START, *((f"f{number % 3}", 60.0 + 5 * number) for number in range(20))]
    assert played(seldom, fair=True).system_trace() == played(seldom, fair=False).system_trace()
