"""Guarantees of an engine about requests, memory and sampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systems.engine.engine import Engine, GenerationRequest

from .driving import answer, collect, drain, prompts, request

MakeEngine = Callable[..., Engine]


def test_an_answer_ends_with_its_stop_token(make_engine: MakeEngine) -> None:
    (prompt,) = prompts((10,))
    (tokens,) = answer(make_engine(), [prompt], 12)
    stop = tokens[6]
    engine = make_engine()
    events = engine.prefill([GenerationRequest(5, prompt, 12, stop_token_ids=(stop,))])
    while engine.running:
        events += engine.decode()
    assert [event.token_id for event in events] == tokens[: tokens.index(stop) + 1]
    assert [event.finished for event in events] == [None] * tokens.index(stop) + ["stop"]


def test_an_answer_ends_at_its_length_or_where_the_context_does(make_engine: MakeEngine) -> None:
    batch = prompts((10, 10))
    engine = make_engine(max_context_tokens=16)
    requests = [request(0, batch[0], 3), request(1, batch[1], 100)]
    events = engine.prefill(requests)
    while engine.running:
        events += engine.decode()
    ends = [(event.request_id, event.finished) for event in events if event.finished]
    assert ends == [(0, "length"), (1, "length")]
    assert sum(event.request_id == 1 for event in events) == 16 - 10


def test_memory_of_keys_and_values_follows_the_tokens_and_is_given_back(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    assert engine.kv_bytes == 0
    engine.prefill([request(n, prompt, 3) for n, prompt in enumerate(prompts((10, 4)))])
    assert engine.kv_bytes == 14 * engine.kv_bytes_per_token
    engine.decode()
    assert engine.kv_bytes == 16 * engine.kv_bytes_per_token
    engine.decode()
    assert not engine.running
    assert engine.kv_bytes == 0


@pytest.mark.parametrize(
    ("lengths", "tokens"), [((0,), 4), ((16,), 4), ((4,) * 9, 4), ((4,), 0), ((), 4)]
)
def test_a_batch_that_does_not_fit_is_refused_and_changes_nothing(
    lengths: tuple[int, ...], tokens: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(max_context_tokens=16)
    engine.prefill([request(99, prompts((3,))[0], 6)])
    with pytest.raises(ValueError, match=r"batch of|prompt of|max_tokens"):
        engine.prefill([request(n, prompt, tokens) for n, prompt in enumerate(prompts(lengths))])
    assert engine.running == (99,)
    answers: dict[int, list[int]] = {}
    drain(engine, answers)
    assert len(answers[99]) == 5


def test_samples_depend_on_the_seed_and_not_on_batch_mates(make_engine: MakeEngine) -> None:
    batch = prompts((8, 8, 30))
    engine = make_engine("f2")
    asked = {"temperature": 1.0, "top_p": 0.9}

    def sampled(seed: int, mates: int) -> list[int]:
        answers: dict[int, list[int]] = {}
        requests = [request(n, batch[n], 12, seed=n, **asked) for n in range(1, 1 + mates)]
        requests.append(request(7, batch[0], 12, seed=seed, **asked))
        collect(answers, engine.prefill(requests))
        drain(engine, answers)
        return answers[7]

    alone = sampled(3, 0)
    assert sampled(3, 0) == alone
    assert sampled(3, 2) == alone
    assert sampled(4, 0) != alone
    assert alone != answer(engine, batch[:1], 12)[0]
