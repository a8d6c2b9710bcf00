"""An instance in virtual time: batches between decode steps, prompts in pieces."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from systems.engine.cuda.buckets import PATIENCE
from systems.models.sizes import model_size
from systems.simulation.clock import Clock, Shared
from systems.simulation.latency_model import LatencyModel
from systems.simulation.number import Number
from systems.simulation.preparer import Preparer
from systems.simulation.profile import load_profile
from systems.simulation.shapes import Shapes
from systems.simulation.work import Prefill, Work
from systems.simulation.worker import Worker

SIZE = model_size("llama2-7b", "float16", 16, "cuda")
MODEL = LatencyModel(load_profile("l40s"), SIZE)
H200 = LatencyModel(load_profile("h200"), SIZE)


def both(piece_tokens: int | None) -> tuple[Work, Work, dict[int, int]]:
    """Run a request of 20 tokens and, while it decodes, one whose prompt has 400. Return both, and
    for how long the prompts of each batch were computed."""
    clock = Clock()
    computed: dict[int, int] = {}
    worker = Worker(
        clock, Shared(clock, 1), MODEL, computed.__setitem__, lambda _: None, piece_tokens
    )
    running, late = Work(0, 128, 20), Work(1, 400, 4)
    worker.run(0, [running])
    clock.at(
        round(MODEL.prefill_ns(1, 128) + 4.5 * MODEL.step_ns(1)), lambda: worker.run(1, [late])
    )
    clock.run()
    return running, late, computed


def test_running_requests_decode_a_step_between_two_pieces_of_a_prompt() -> None:
    _, whole, _ = both(None)
    _, pieces, _ = both(128)
    assert whole.first_ns - whole.prefill_ns == pytest.approx(MODEL.prefill_ns(1, 400), abs=2)
    expected = 3 * MODEL.prefill_ns(1, 128) + MODEL.prefill_ns(1, 16) + 3 * MODEL.step_ns(1)
    assert pieces.first_ns - pieces.prefill_ns == pytest.approx(expected, abs=8)


def test_the_steps_between_pieces_do_not_count_as_time_of_the_prompts() -> None:
    *_, whole = both(None)
    *_, pieces = both(128)
    assert whole[1] == pytest.approx(MODEL.prefill_ns(1, 400), abs=2)
    expected = 3 * MODEL.prefill_ns(1, 128) + MODEL.prefill_ns(1, 16)
    assert pieces[1] == pytest.approx(expected, abs=8)


@pytest.mark.parametrize(("back_to_back", "steps"), [(True, (0, 2, 0)), (False, (1, 2, 3))])
def test_a_batch_that_comes_in_answer_to_another_begins_before_a_decode_step_but_no_third(
    back_to_back: bool, steps: tuple[int, ...]
) -> None:
    """``steps``: the requests of the decode step before each but the first; 0: there is none."""
    clock = Clock()
    works = [Work(number, 128, 20) for number in range(4)]

    def answer(batch: int, computed_ns: int) -> None:
        if batch + 1 < len(works):
            worker.run(batch + 1, [works[batch + 1]])

    worker = Worker(
        clock, Shared(clock, 1), MODEL, answer, lambda _: None, back_to_back=back_to_back
    )
    worker.run(0, [works[0]])
    clock.run()
    waits = [later.prefill_ns - earlier.first_ns for earlier, later in pairwise(works)]
    assert waits == pytest.approx([MODEL.step_ns(n) if n else 0 for n in steps], abs=2)


def beside(*, mixes: bool, shapes: Shapes | None = None) -> tuple[Work, Work]:
    """On an H200, run a request of 20 tokens and, after its second, one with a prompt of 400."""
    clock = Clock()
    device = Shared(clock, 1)
    worker = Worker(clock, device, H200, lambda *_: None, lambda _: None, 512, mixes=mixes)
    if shapes is not None:
        worker.preparer = Preparer(clock, device, shapes)
    running, late = Work(0, 128, 20), Work(1, 400, 4)
    worker.run(0, [running])
    clock.at(round(alone_ns(128) + 1.5 * H200.step_ns(1)), lambda: worker.run(1, [late]))
    clock.run()
    return running, late


def alone_ns(tokens: int) -> float:
    return H200.batch_ns([tokens])


def test_a_mixed_pass_takes_less_than_a_pass_and_a_step_and_counts_as_both() -> None:
    (running, late), (apart, alone) = beside(mixes=True), beside(mixes=False)
    saved_ns = H200.mixed_saved_ns(512)  # eight tiles
    assert saved_ns == pytest.approx(2.52e6, rel=0.01)
    step_ns = H200.step_ns(1, context=131)
    assert late.first_ns - late.prefill_ns == pytest.approx(
        alone_ns(400) + step_ns - saved_ns, abs=4
    )
    assert alone.first_ns - alone.prefill_ns == pytest.approx(alone_ns(400), abs=4)
    assert apart.last_ns - running.last_ns == pytest.approx(saved_ns, rel=0.02), "no token more"


def test_a_mixed_pass_of_a_shape_that_never_ran_is_put_off() -> None:
    graphs = H200.profile.graphs
    assert graphs is not None
    ready, *fresh = (Shapes(graphs, 8, 512) for _ in range(4))
    ready.prepared(ready.unprepared)
    assert beside(mixes=True, shapes=ready)[1].first_ns == beside(mixes=True)[1].first_ns
    late, apart = (
        beside(mixes=mixes, shapes=shapes)[1]
        for mixes, shapes in zip((True, False), fresh, strict=False)
    )
    assert late.first_ns == apart.first_ns
    assert [fresh[2].mixed_ns(1, 512) for _ in range(PATIENCE)] == [None] * PATIENCE
    assert fresh[2].mixed_ns(1, 512) == pytest.approx(graphs.first_s.value * 1e9)


def test_more_of_a_batch_is_computed_with_it_until_it_begins() -> None:
    clock = Clock()
    running, first, second, late = (Work(number, 128, 200) for number in range(4))
    begun: list[int] = []
    worker = Worker(
        clock, Shared(clock, 1), MODEL, lambda *_: None, lambda _: None, begun=begun.append
    )
    worker.run(0, [running])
    soon_ns = round(1.5 * MODEL.prefill_ns(1, 128))
    for at_ns, work in ((soon_ns, first), (soon_ns, second), (2 * soon_ns, late)):
        clock.at(at_ns, partial(worker.run, 1, [work]))
    clock.run()
    assert first.prefill_ns == second.prefill_ns < late.prefill_ns
    assert begun == [0, 1, 1]


def test_prompts_are_computed_whole_while_no_request_decodes() -> None:
    running, *_ = both(16)
    assert running.first_ns - running.prefill_ns == pytest.approx(MODEL.prefill_ns(1, 128), abs=2)


def test_every_token_of_a_batch_is_in_one_piece_in_order() -> None:
    prefill = Prefill(0, [Work(0, 100, 1), Work(1, 100, 1), Work(2, 10, 1)])
    pieces = []
    while not prefill.complete:
        piece = prefill.take(64)
        pieces.append(([work.id for work in piece.requests], piece.tokens))
    assert pieces == [([0], 64), ([0, 1], 64), ([1], 64), ([1, 2], 18)]


def test_a_step_reads_the_keys_and_values_of_its_requests() -> None:
    """Eight requests of 600 tokens, as in cuda_engine, and of 100, on an H100."""
    h100 = LatencyModel(load_profile("h100"), SIZE)
    long_ms, short_ms = (h100.step_ns(8, context=8 * tokens) / 1e6 for tokens in (600, 100))
    assert long_ms == pytest.approx(7.7, rel=0.01)
    assert long_ms - short_ms == pytest.approx(8 * 500 * 0.524288 / 3.0e3, rel=0.01)
    assert h100.step_ns(5) == h100.step_ns(8), "rows are padded"
    assert h100.step_ns(9) > h100.step_ns(8)


def test_what_a_step_hides_grows_with_its_requests_up_to_what_two_can_do() -> None:
    profile = load_profile("h100")
    beside = profile.batches_beside
    assert beside is not None

    def hiding(row_s: float) -> LatencyModel:
        changed = {"host_row_s": Number(value=row_s, kind="measured", source="planted here")}
        return LatencyModel(profile.model_copy(update=changed), SIZE)

    assert [hiding(1e-5).hidden_ns(rows) for rows in (1, 2, 33)] == pytest.approx([0, 1e4, 32e4])
    much, waits = hiding(1.0), beside.waits.value
    shortened = much.step_ns(32) - much.hidden_ns(32)
    assert shortened * (1 + waits) == pytest.approx(much.step_ns(32)), "as fast as one alone"


def test_what_a_shape_costs_is_not_hidden() -> None:
    """The first step with a shape, and its capture, beside another batch."""
    shapes = SimpleNamespace(steps_ns=lambda *_: 1e9, prompts_ns=lambda _: 0.0)
    preparer: Any = SimpleNamespace(shapes=shapes, busy=lambda then: then(), idle=lambda: None)
    started: list[float] = []
    profile = load_profile("h100").model_copy(
        update={"host_row_s": Number(value=1e-5, kind="measured", source="planted here")}
    )
    compute: Any = SimpleNamespace(start=lambda _, __, hidden=0.0: started.append(hidden))
    model = LatencyModel(profile, SIZE)
    worker = Worker(Clock(), compute, model, lambda *_: None, lambda _: None, preparer=preparer)
    worker.decoding = {each: Work(each, 10, 3, left=1) for each in range(3)}
    worker._next()
    assert started == [pytest.approx(2e4 / 1e9, rel=0.02)], "of a step, not of the second beside it"


def test_a_long_context_makes_the_steps_of_a_worker_longer() -> None:
    def tpot_ns(prompt_tokens: int) -> float:
        clock, work = Clock(), Work(0, prompt_tokens, 100)
        h100 = LatencyModel(load_profile("h100"), SIZE)
        Worker(clock, Shared(clock, 1), h100, lambda *_: None, lambda _: None).run(0, [work])
        clock.run()
        return (work.last_ns - work.first_ns) / 99

    assert tpot_ns(3000) - tpot_ns(1000) == pytest.approx(
        2000 * 0.524288e6 / 3.0e12 * 1e9, rel=0.01
    )


def test_a_pass_takes_what_was_measured_at_its_tokens() -> None:
    """start-beside-h100 and cuda_engine: a pass over few tokens takes as long as the weights."""
    h100 = LatencyModel(load_profile("h100"), SIZE)
    for lengths, ms in (([60], 6.96), ([128], 7.37), ([200], 8.38), ([512], 14.01)):
        assert h100.batch_ns(lengths) / 1e6 == pytest.approx(ms, rel=0.01)
    assert h100.batch_ns([512] * 8) / 1e6 == pytest.approx(100, rel=0.01), "four passes"


@pytest.mark.parametrize("piece_tokens", [None, 128])
def test_a_batch_whose_requests_were_all_given_up_is_not_computed(piece_tokens: int | None) -> None:
    clock = Clock()
    running, gone, kept = (Work(number, 128, 20) for number in range(3))
    prefilled: dict[int, int] = {}
    worker = Worker(
        clock, Shared(clock, 1), MODEL, prefilled.__setitem__, lambda _: None, piece_tokens
    )
    for batch, work in enumerate((running, gone, kept)):
        worker.run(batch, [work])
    worker.forget(gone.id)
    clock.run()
    assert list(prefilled) == [0, 1, 2], "the controller awaits each"
    assert prefilled[1] == 0
    assert kept.first_ns
    assert not gone.first_ns


@pytest.mark.parametrize(("pads", "first"), [(True, [0, 1]), (False, [0, 1, 2])])
def test_prompts_are_computed_together_in_their_order_by_an_engine_that_pads_too(
    pads: bool, first: list[int]
) -> None:
    prefill = Prefill(0, [Work(0, 60, 1), Work(1, 400, 1), Work(2, 50, 1)], pads=pads)
    assert [work.id for work in prefill.take(512).requests] == first


@pytest.mark.parametrize("piece_tokens", [None, 64])
def test_a_request_that_is_given_up_during_its_prefill_generates_nothing(
    piece_tokens: int | None,
) -> None:
    clock = Clock()
    running, gone, kept = Work(0, 128, 40), Work(1, 400, 20), Work(2, 128, 20)
    finished: list[int] = []
    worker = Worker(clock, Shared(clock, 1), MODEL, lambda *_: None, finished.append, piece_tokens)
    worker.run(0, [running])
    clock.at(
        round(MODEL.prefill_ns(1, 128) + 0.5 * MODEL.step_ns(1)),
        lambda: worker.run(1, [gone, kept]),
    )
    clock.at(
        round(MODEL.prefill_ns(1, 128) + 1.2 * MODEL.step_ns(1)), lambda: worker.forget(gone.id)
    )
    clock.run()
    assert gone.prefill_ns
    assert finished == [kept.id, running.id]


def paused(at_ns: int, most_ns: int, resume_ns: int | None, joins_ns: int | None = None) -> Work:
    """Decode a request that is paused then, and return it once it is done; another may join."""
    clock, work = Clock(), Work(0, 10, 50)
    worker = Worker(clock, Shared(clock, 1), MODEL, lambda *_: None, lambda _: None)
    worker.run(0, [work])
    clock.at(at_ns, lambda: worker.pause(most_ns))
    if resume_ns is not None:
        clock.at(resume_ns, worker.resume)
    other = Work(1, 10, 1)
    if joins_ns is not None:
        clock.at(joins_ns, lambda: worker.run(1, [other]))
    clock.run()
    assert joins_ns is None or other.first_ns - joins_ns < MODEL.batch_ns([10]) * 1.01
    return work


SECOND = 10**9


@pytest.mark.parametrize("resume_ns", [5 * SECOND, None])
def test_a_pause_lasts_until_its_end_or_its_bound(resume_ns: int | None) -> None:
    """The step that it comes in is the last before."""
    step_ns = MODEL.step_ns(1, context=10)
    on = paused(SECOND // 2, 0, None)
    off = paused(SECOND // 2, 5 * SECOND if resume_ns is None else 99 * SECOND, resume_ns)
    late_ns = (5 * SECOND + SECOND // 2) if resume_ns is None else resume_ns
    assert off.last_ns - on.last_ns == pytest.approx(late_ns - SECOND // 2, abs=1.1 * step_ns)


def test_prompts_are_computed_during_a_pause_and_the_request_is_complete() -> None:
    work = paused(SECOND // 2, 99 * SECOND, 5 * SECOND, joins_ns=2 * SECOND)
    assert work.left == 0
    assert work.last_ns > 5 * SECOND
