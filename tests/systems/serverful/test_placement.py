"""Requests and their adapters on replicas: none lost, none where its adapter is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from systems.serverful.inhouse.placement import Costs, Placement

NAMES = ("a", "b", "c", "d")
COSTS = Costs(merged=0.6, load=0.05)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.sampled_from((None, *NAMES))),
        st.tuples(st.just("end"), st.integers(0, 30)),
        st.tuples(st.just("rebalance"), st.none()),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 3), st.integers(1, 4))
def test_nothing_is_lost_and_every_adapter_is_where_it_is_needed(
    script: list[tuple[str, object]], replicas: int, capacity: int
) -> None:
    placement = Placement(NAMES, replicas, capacity, 4, COSTS)
    held = [set(placement.held(replica)) for replica in range(replicas)]
    alive: dict[int, str | None] = {}
    where: dict[int, int] = {}
    for number, (what, detail) in enumerate(script):
        if what == "arrive":
            assert detail is None or isinstance(detail, str)
            places = [placement.admit(number, detail)]
            alive[number] = detail
        elif what == "end" and alive:
            assert isinstance(detail, int)
            request = sorted(alive)[detail % len(alive)]
            placement.finished(request)
            del alive[request], where[request]
            places = []
        else:
            before = max(placement.cost(replica) for replica in range(replicas))
            places = list(placement.rebalance(frozenset()))
            assert max(placement.cost(replica) for replica in range(replicas)) <= before + 1e-9
            assert len({place.request for place in places}) == len(places)
        for place in places:
            where[place.request] = place.replica
        for place in places:
            if place.evicted is not None:
                held[place.replica].remove(place.evicted)
            if place.brought is not None:
                assert place.brought not in held[place.replica]
                held[place.replica].add(place.brought)
        assert where.keys() == alive.keys()
        for request, replica in where.items():
            assert placement.replica_of(request) == replica
            assert alive[request] is None or alive[request] in held[replica]


def test_a_request_goes_where_least_is_to_do() -> None:
    placement = Placement(NAMES, 2, 4, 4, COSTS)
    assert [placement.admit(n, "a").replica for n in range(4)] == [0, 1, 0, 1]


def test_the_adapter_moves_with_the_requests_that_need_it() -> None:
    placement = Placement(("a", "b"), 2, 1, 4, Costs(merged=1.0, load=0.1))
    assert placement.held(0) == ("a",)
    for number in range(4):
        placement.admit(number, "a")
    crowd = [n for n in range(4) if placement.replica_of(n) == 0]
    assert crowd
    for number in range(10, 18):
        placement.admit(number, "b")
    for number in range(10, 18):
        placement.finished(number)
    moves = list(placement.rebalance(frozenset()))
    costs = [placement.cost(0), placement.cost(1)]
    assert max(costs) - min(costs) <= 0.25
    assert all(place.brought in (None, "a") for place in moves)


def test_those_that_run_move_last() -> None:
    placement = Placement(("a",), 2, 1, 4, Costs(merged=1.0, load=0.0))
    placed = [placement.admit(n, "a").replica for n in range(8)]
    for number, replica in enumerate(placed):
        if replica == 1:
            placement.finished(number)
    left = [number for number, replica in enumerate(placed) if replica == 0]
    started = frozenset(left[:2])
    moved = {place.request for place in placement.rebalance(started)}
    assert len(moved) == 2
    assert not moved & started
