"""dLoRA's batches: which requests run, which adapter is merged, and that no adapter starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from systems.serverful.inhouse.batcher import Choice, FirstCome, Queued
from systems.serverful.inhouse.credit import CreditBatcher, StepTimes

TIMES = StepTimes(merged_s=0.6, unmerged_s=1.0, switch_s=0.5, load_s=0.5)
NAMES = (None, "a", "b", "c")
BATCH, PATIENCE = 4, 3

arrivals = st.lists(st.lists(st.sampled_from(NAMES), max_size=4), min_size=1, max_size=40)


def made(times: StepTimes = TIMES) -> CreditBatcher:
    return CreditBatcher(BATCH, NAMES[1:], times, PATIENCE)


def of(*adapters: str | None) -> list[Queued]:
    return [Queued(index, adapter, False) for index, adapter in enumerate(adapters)]


@given(arrivals, st.integers(0, 6))
def test_a_choice_is_a_batch_that_can_run(rounds: list[list[str | None]], room: int) -> None:
    for batcher in (made(), FirstCome(BATCH)):
        queue: list[Queued] = []
        for turn, names in enumerate(rounds):
            queue += [Queued(100 * turn + n, name, n % 2 == 0) for n, name in enumerate(names)]
            if not any(each.started for each in queue) and not room:
                continue
            if not queue:
                continue
            choice = batcher.choose(queue, room)
            by_id = {each.id: each for each in queue}
            run = [by_id[id_] for id_ in choice.ids]
            assert 0 < len(set(choice.ids)) == len(choice.ids) <= BATCH
            assert sum(not each.started for each in run) <= room
            if choice.merged is not None:
                assert {each.adapter for each in run} == {choice.merged}
            queue = queue[len(queue) // 2 :]


@given(arrivals)
def test_credits_are_moved_and_never_made(rounds: list[list[str | None]]) -> None:
    batcher = made()
    before = sum(batcher.credits.values())
    for names in rounds:
        if names:
            batcher.choose(of(*names, *names), 8)
    assert abs(sum(batcher.credits.values()) - before) < 1e-6


@given(arrivals)
def test_thresholds_stay_in_order(rounds: list[list[str | None]]) -> None:
    batcher = made()
    for names in rounds:
        if names:
            batcher.choose(of(*names), 8)
        assert 0 < batcher.stay <= batcher.enter <= 1


@given(st.integers(1, 3), st.sampled_from(("b", "c", None)))
def test_the_one_beside_a_flood_of_another_adapter_runs_soon(fill: int, name: str | None) -> None:
    """The flood merges as soon as it may; a request that is passed over gains credit."""
    batcher = made()
    one = Queued(10_000, name, False)
    batcher.choose(of(*("a",) * BATCH), BATCH)
    for turn in range(BATCH * 2 * PATIENCE + 2):
        flood = [Queued(100 * turn + n, "a", False) for n in range(BATCH * 2)]
        choice = batcher.choose([*flood[:fill], one, *flood[fill:]], BATCH * 3)
        if one.id in choice.ids:
            return
    raise AssertionError("passed over for ever")


def test_one_hot_adapter_is_merged_and_a_mixture_is_not() -> None:
    assert made().choose(of("a", "a", "a", "a"), 4) == Choice((0, 1, 2, 3), "a")
    assert made().choose(of("a", "b", "c", None), 4) == Choice((0, 1, 2, 3))
    assert made().choose(of(None, None), 4).merged is None


def test_what_is_merged_stays_so_longer_than_it_takes_to_become_so() -> None:
    batcher = made()
    mostly = of("a", "a", "a", "b")
    assert made().choose(mostly, 4).merged is None
    batcher.choose(of("a", "a", "a", "a"), 4)
    assert batcher.choose(mostly, 4) == Choice((0, 1, 2), "a")


def test_an_adapter_without_credit_cannot_be_merged() -> None:
    batcher = made()
    batcher.credits["a"] = 0.0
    assert batcher.choose(of("a", "a", "a", "a"), 4).merged is None


@given(arrivals, st.integers(1, 5))
def test_a_choice_that_repeats_is_the_same_without_a_call(
    rounds: list[list[str | None]], times: int
) -> None:
    called, told = made(), made()
    for names in filter(None, rounds):
        choice = called.choose(of(*names), 8)
        assert told.choose(of(*names), 8) == choice
        assert told.repeats == called.repeats
        if told.repeats:
            assert [called.choose(of(*names), 8) for _ in range(times)] == [choice] * times
            told.repeated(times)
        assert (told.credits, told.enter, told.stay) == (called.credits, called.enter, called.stay)
