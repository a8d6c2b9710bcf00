"""The engine answers with the very tokens of transformers + peft."""

from __future__ import annotations

import numpy as np
import pytest

from systems.engine.engine import Engine, GenerationRequest, TokenEvent
from workloads.streams import stream

from .conftest import NAMES, MakeEngine, Oracle

LENGTHS = (1, 7, 33, 2, 64, 5, 17, 90)


def prompts(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    random: np.random.Generator = stream(seed, "prompts")
    return [tuple(int(t) for t in random.integers(2, 512, length)) for length in LENGTHS[:count]]


def requests(texts: list[tuple[int, ...]], tokens: int, first: int = 0) -> list[GenerationRequest]:
    return [
        GenerationRequest(first + i, text, tokens, ignore_eos=True) for i, text in enumerate(texts)
    ]


def collect(events: list[TokenEvent], answers: dict[int, list[int]]) -> None:
    for event in events:
        answers.setdefault(event.request_id, []).append(event.token_id)


def run(engine: Engine, batch: list[GenerationRequest]) -> dict[int, list[int]]:
    answers: dict[int, list[int]] = {}
    collect(engine.prefill(batch), answers)
    while engine.running:
        collect(engine.decode(), answers)
    return answers


@pytest.mark.parametrize("adapter", [None, *NAMES])
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_greedy_tokens_equal_the_oracles(
    adapter: str | None, batch: int, make_engine: MakeEngine, oracles: dict[str | None, Oracle]
) -> None:
    texts = prompts(batch, seed=batch)
    answers = run(make_engine(adapter), requests(texts, 12))
    assert list(answers.values()) == oracles[adapter].generate(texts, 12)


@pytest.mark.parametrize("adapter", [None, *NAMES])
def test_the_first_token_is_that_of_right_padded_batches_too(
    adapter: str | None, make_engine: MakeEngine, oracles: dict[str | None, Oracle]
) -> None:
    texts = prompts(8)
    events = make_engine(adapter).prefill(requests(texts, 1))
    assert [event.token_id for event in events] == oracles[adapter].first_tokens(texts)


def test_each_adapter_answers_differently(make_engine: MakeEngine) -> None:
    answers = [
        tuple(run(make_engine(name), requests(prompts(3), 12))[2]) for name in (None, *NAMES)
    ]
    assert len(set(answers)) == len(answers)


def test_joining_and_leaving_a_batch_changes_nobodys_answer(
    make_engine: MakeEngine, oracles: dict[str | None, Oracle]
) -> None:
    texts = prompts(8, seed=3)
    engine = make_engine("a1")
    answers: dict[int, list[int]] = {}
    waiting = [GenerationRequest(i, t, 4 + 3 * i, ignore_eos=True) for i, t in enumerate(texts)]
    while waiting or engine.running:
        if waiting:
            collect(engine.prefill([waiting.pop(0)]), answers)
        collect(engine.decode(), answers)
        collect(engine.decode(), answers)
    for index, text in enumerate(texts):
        assert answers[index] == oracles["a1"].generate([text], 4 + 3 * index)[0]


def test_a_cancelled_request_leaves_the_others_as_they_were(
    make_engine: MakeEngine, oracles: dict[str | None, Oracle]
) -> None:
    texts = prompts(4, seed=4)
    engine = make_engine("a2")
    answers: dict[int, list[int]] = {}
    collect(engine.prefill(requests(texts, 10)), answers)
    collect(engine.decode(), answers)
    assert engine.cancel(1)
    assert not engine.cancel(1)
    while engine.running:
        collect(engine.decode(), answers)
    expected = oracles["a2"].generate(texts, 10)
    assert answers.pop(1) == expected[1][:2]
    assert answers == {i: expected[i] for i in (0, 2, 3)}


def test_a_stop_token_ends_an_answer(make_engine: MakeEngine) -> None:
    (text,) = prompts(1)
    free = run(make_engine(), requests([text], 8))[0]
    engine = make_engine()
    stopping = GenerationRequest(0, text, 8, stop_token_ids=(free[3],))
    events = engine.prefill([stopping])
    while engine.running:
        events += engine.decode()
    assert [event.token_id for event in events] == free[: free.index(free[3]) + 1]
    assert [event.finished for event in events][-1] == "stop"


def test_seeded_samples_do_not_depend_on_who_shares_the_batch(make_engine: MakeEngine) -> None:
    texts = prompts(4, seed=5)
    sampled = [
        GenerationRequest(i, t, 12, temperature=1.0, top_p=0.9, seed=i, ignore_eos=True)
        for i, t in enumerate(texts)
    ]
    together = run(make_engine("a0"), sampled)
    alone = {r.request_id: run(make_engine("a0"), [r])[r.request_id] for r in sampled}
    assert together == alone
    greedy = run(make_engine("a0"), requests(texts, 12))
    assert together != greedy


def test_too_many_or_too_long_is_refused(make_engine: MakeEngine) -> None:
    engine = make_engine(batch=2, context=32)
    with pytest.raises(ValueError, match="max_batch_size=2"):
        engine.prefill(requests(prompts(3), 4))
    with pytest.raises(ValueError, match="the context holds 32"):
        engine.prefill(requests([tuple(range(2, 32))], 4))
    assert engine.running == 0
