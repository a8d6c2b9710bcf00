"""Times reported by an instance are clamped to the interval from request to receipt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.runtime.calls import Call, request_trace
from systems.runtime.incoming import BadMessageError
from systems.runtime.messages import Sampling
from systems.runtime.times import Step
from systems.serverless.live.messages import INSTANCE_SAYS

RECEIVED, PLACED = 100, 200
moments = st.integers(0, 2**63 - 1)


def call(placed_ns: int | None = PLACED) -> Call:
    made = Call(0, "0", "f0", [5], 8, Sampling(), RECEIVED)
    made.placed_ns = placed_ns
    return made


@pytest.mark.parametrize("said", ['"x"', "NaN", "1e30", "1" + "0" * 30, "true", "-1", "null", "[]"])
@pytest.mark.parametrize("name", ["t_ns", "start_ns", "computed_ns"])
def test_a_time_that_is_none_is_no_message(name: str, said: str) -> None:
    message = {
        "kind": "prefilled",
        "batch": 0,
        "start_ns": 1,
        "t_ns": 2,
        "computed_ns": 1,
        "tokens": [],
    }
    INSTANCE_SAYS.decode(json.dumps(message).encode())
    bad = json.dumps({**message, name: "BAD"}).replace('"BAD"', said)
    with pytest.raises(BadMessageError, match=rf"at `\$\.{name}`|JSON is malformed"):
        INSTANCE_SAYS.decode(bad.encode())


@given(steps=st.lists(st.tuples(moments | st.none(), moments, st.integers(0, 50)), min_size=1))
def test_stages_lie_between_asking_and_hearing_and_never_go_back(
    steps: list[tuple[int | None, int, int]],
) -> None:
    made, heard_ns = call(), PLACED
    for start_ns, end_ns, later_ns in steps:
        heard_ns += later_ns
        made.stepped(Step.of(start_ns, end_ns, heard_ns))
    edges = [made.prefill_ns, made.first_token_ns, made.last_token_ns]
    assert None not in edges
    assert sorted([PLACED, *map(int, filter(None, edges)), heard_ns]) == [PLACED, *edges, heard_ns]


def test_what_is_said_within_the_bounds_is_believed() -> None:
    made = call()
    made.stepped(Step.of(210, 290, 300))
    made.stepped(Step.of(None, 395, 400))
    assert (made.prefill_ns, made.first_token_ns, made.last_token_ns) == (210, 290, 395)


def test_evidence_has_when_a_request_was_served_by_our_own_clock() -> None:
    made = call()
    made.done_ns = 1_000
    made.stepped(Step.of(998, 999, 1_000))
    said = request_trace(made, 1_001)
    assert (said.placed_ns, said.done_ns) == (PLACED, 1_000)


def test_a_request_that_no_instance_was_given_was_not_served() -> None:
    waiting = call(placed_ns=None)
    waiting.done_ns = 500
    said = request_trace(waiting, None)
    assert (said.placed_ns, said.done_ns) == (None, None)


def test_a_step_ends_no_later_than_it_was_heard_and_begins_no_later_than_it_ends() -> None:
    late = Step.of(2**62, 2**62, 1_000)
    assert (late.start_ns, late.end_ns, late.took_ns) == (1_000, 1_000, 0)
    crossed = Step.of(900, 800, 1_000)
    assert (crossed.start_ns, crossed.end_ns, crossed.took_ns) == (800, 800, 0)
