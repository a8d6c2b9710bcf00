"""An instance computes prompts in pieces, and the running requests decode between two."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from systems.engine.batching import Batching
from systems.engine.cuda.engine import CudaEngine
from systems.engine.engine import Engine
from systems.models import ensure_backbone
from systems.runtime.messages import Cancel, Message, Request, RequestFields, Sampling, Stop
from systems.serverless.live.instance import Instance
from systems.serverless.live.instance_batches import ANSWER_MS
from systems.serverless.live.messages import (
    Cancelled,
    Decoded,
    PauseDecoding,
    Prefilled,
    ResumeDecoding,
    RunBatch,
)
from tests.systems.engine.conftest import load_backbone
from tests.systems.engine.driving import answer, prompts

PROMPTS = prompts((20, 10, 300))
RUNNING, SHORT, LONG = 0, 1, 2
PIECES = 5  # of 64 tokens, for both later prompts together


class Polls:
    """A channel with the messages of each poll; afterwards it says ``Stop``."""

    def __init__(self, polls: Sequence[Sequence[Message]]) -> None:
        self._polls = deque([deque(poll) for poll in polls])
        self.sent: list[Any] = []
        self.waits: list[float | None] = []

    def receive(self, timeout: float | None) -> tuple[Message, list[int]] | None:
        self.waits.append(timeout)
        if not self._polls:
            return Stop(), []
        if self._polls[0]:
            return self._polls[0].popleft(), []
        self._polls.popleft()
        return None

    def send(self, message: Message, fds: Any = ()) -> None:
        self.sent.append(message)


@pytest.fixture(scope="module")
def engine() -> Engine:
    layout, weights = load_backbone(ensure_backbone("tiny"), "float32")
    limits = {"max_batch_size": 4, "max_context_tokens": 400, "piece_tokens": 64}
    return Engine(layout.config, weights, None, **limits)


@pytest.fixture(scope="module")
def mixing() -> CudaEngine:
    layout, weights = load_backbone(ensure_backbone("tiny"), "float32")
    limits = {"max_batch_size": 4, "max_context_tokens": 400, "piece_tokens": 256}
    return CudaEngine(layout.config, weights, None, **limits)


def asked(number: int) -> Request:
    fields = RequestFields(number, PROMPTS[number], 12, Sampling(ignore_eos=True))
    return Request(fields)


def alone(number: int, *, back_to_back: bool) -> list[Message]:
    return [asked(number), RunBatch(number, (number,), back_to_back)]


FIRST = alone(RUNNING, back_to_back=False)
SECOND = [asked(SHORT), asked(LONG), RunBatch(1, (SHORT, LONG))]


def serve(engine: Batching, polls: Sequence[Sequence[Message]]) -> list[Any]:
    """Serve until the script ends; return what the instance sent, up to a last token."""
    channel = Polls(polls)
    serve_on(channel, engine)
    return channel.sent


def serve_on(channel: Polls, engine: Batching) -> None:
    instance = Instance(channel)  # type: ignore[arg-type]
    instance.artifacts.engine = engine
    instance.run()
    for number in (*engine.running, *engine.prefilling):
        engine.cancel(number)


def ids(message: Prefilled | Decoded) -> set[int]:
    return {token.request for token in message.tokens}


def test_running_requests_decode_between_the_pieces_of_a_batch(engine: Engine) -> None:
    sent = serve(engine, [FIRST, SECOND, *[[]] * 16])
    first, step, *between = sent[: 1 + PIECES]
    assert (first.batch, ids(first), ids(step)) == (0, {RUNNING}, {RUNNING})
    assert [ids(each) for each in between] == [{RUNNING}] * (PIECES - 1)
    assert all(isinstance(each, Decoded) for each in between)
    batch, after = sent[1 + PIECES :][:2]
    assert (batch.batch, ids(batch)) == (1, {SHORT, LONG})
    assert step.t_ns <= batch.start_ns <= between[0].t_ns <= batch.t_ns
    assert 0 < batch.computed_ns < batch.t_ns - batch.start_ns, "without the steps between"
    assert ids(after) == {RUNNING, SHORT, LONG}
    found: dict[int, list[int]] = {}
    for message in sent:
        for token in message.tokens:
            found.setdefault(token.request, []).append(token.id)
    assert found == {n: answer(engine, [prompt], 12)[0] for n, prompt in enumerate(PROMPTS)}


def test_prompts_are_whole_while_nothing_decodes(engine: Engine) -> None:
    batch, step, *_ = serve(engine, [SECOND, []])
    assert (type(batch), ids(batch)) == (Prefilled, {SHORT, LONG})
    assert (type(step), ids(step)) == (Decoded, {SHORT, LONG})


def test_a_batch_that_comes_in_answer_to_another_begins_before_a_decode_step_but_no_third(
    engine: Engine,
) -> None:
    """The batch and its requests come in messages of their own, for each of which it waits."""
    batches = [alone(number, back_to_back=True) for number in (LONG, RUNNING, SHORT)]
    sent = serve(engine, [*batches, *[[]] * 6])
    kinds = [(type(each), ids(each)) for each in sent[:4]]
    assert kinds == [
        (Prefilled, {LONG}),
        (Prefilled, {RUNNING}),
        (Decoded, {LONG, RUNNING}),
        (Prefilled, {SHORT}),
    ]


def test_running_requests_get_their_tokens_in_the_passes_over_prompts(mixing: CudaEngine) -> None:
    """Until a batch is complete its requests do not decode; a later piece has no mixed pass."""
    sent = serve(mixing, [FIRST, SECOND, *[[]] * 16])
    kinds = [(type(each), ids(each)) for each in sent[:6]]
    assert kinds == [
        (Prefilled, {RUNNING}),
        *[(Decoded, {RUNNING})] * 3,
        (Prefilled, {SHORT, LONG}),
        (Decoded, {RUNNING, SHORT, LONG}),
    ]
    found: dict[int, list[int]] = {}
    for message in sent:
        for token in message.tokens:
            found.setdefault(token.request, []).append(token.id)
    assert found == {n: answer(mixing, [prompt], 12)[0] for n, prompt in enumerate(PROMPTS)}


def test_beside_running_requests_batches_go_on_back_to_back(mixing: CudaEngine) -> None:
    """Each pass over prompts has their tokens, so a decode step waits for another batch after each,
    and none is owed between two."""
    first, *later = [alone(number, back_to_back=True) for number in (LONG, RUNNING, SHORT)]
    channel = Polls([first, [], *later, *[[]] * 6])
    serve_on(channel, mixing)
    assert [(type(each), ids(each)) for each in channel.sent[:7]] == [
        (Prefilled, {LONG}),
        (Decoded, {LONG}),
        (Prefilled, {RUNNING}),
        (Decoded, {LONG}),
        (Prefilled, {SHORT}),
        (Decoded, {LONG, RUNNING}),
        (Decoded, {LONG, RUNNING, SHORT}),
    ]
    wanted = [ANSWER_MS, ANSWER_MS, 0, ANSWER_MS]
    assert channel.waits[7:11] == wanted, "for both messages of the third batch, and for a fourth"


def test_what_is_paused_gets_no_token_beside_prompts(mixing: CudaEngine) -> None:
    paused = [PauseDecoding(10**12), *alone(SHORT, back_to_back=False)]
    sent = serve(mixing, [FIRST, paused, [], [ResumeDecoding()], []])
    assert [(type(each), ids(each)) for each in sent[:4]] == [
        (Prefilled, {RUNNING}),
        (Decoded, {RUNNING}),
        (Prefilled, {SHORT}),
        (Decoded, {RUNNING, SHORT}),
    ]


def more_of_the_second(polls: int) -> list[Sequence[Message]]:
    """The first request decodes; after so many polls comes another one of the second batch."""
    second = [asked(LONG), RunBatch(1, (LONG,), back_to_back=True)]
    late = [asked(SHORT), RunBatch(1, (SHORT,), back_to_back=True)]
    return [FIRST, second, *[[]] * polls, late, *[[]] * 12]


def test_more_of_a_batch_that_has_not_begun_is_computed_with_it(engine: Engine) -> None:
    """Both messages come in one poll, after the decode step that they wait for."""
    first, second, late, *rest = more_of_the_second(0)
    sent = serve(engine, [first, [*second, *late], *rest])
    batches = [(each.batch, ids(each)) for each in sent if isinstance(each, Prefilled)]
    assert batches == [(0, {RUNNING}), (1, {SHORT, LONG})]


@pytest.mark.parametrize("polls", [1, PIECES])
def test_what_comes_too_late_for_its_batch_follows_it(engine: Engine, polls: int) -> None:
    sent = serve(engine, more_of_the_second(polls))
    batches = [(each.batch, ids(each)) for each in sent if isinstance(each, Prefilled)]
    assert batches == [(0, {RUNNING}), (1, {LONG}), (1, {SHORT})]


def test_where_batches_are_not_back_to_back_each_waits_for_a_decode_step(engine: Engine) -> None:
    batches = [alone(number, back_to_back=False) for number in (RUNNING, SHORT)]
    sent = serve(engine, [*batches, *[[]] * 6])
    kinds = [(type(each), ids(each)) for each in sent[:3]]
    assert kinds == [(Prefilled, {RUNNING}), (Decoded, {RUNNING}), (Prefilled, {SHORT})]


def test_only_a_batch_is_waited_for_and_for_no_longer_than_its_answer_takes(engine: Engine) -> None:
    channel = Polls([alone(RUNNING, back_to_back=True), *[[]] * 6])
    serve_on(channel, engine)
    assert channel.waits[:3] == [None, 0, 0], "until a request comes"
    assert channel.waits[3:6] == [ANSWER_MS, 0, 0], "then once"


@pytest.mark.parametrize(("cancelled", "left"), [(LONG, SHORT), (SHORT, LONG)])
def test_a_request_is_cancelled_while_its_batch_is_in_pieces(
    cancelled: int, left: int, engine: Engine
) -> None:
    """The short prompt is complete by then; its first token is not reported."""
    sent = serve(engine, [FIRST, SECOND, [Cancel(cancelled)], *[[]] * PIECES])
    assert Cancelled(cancelled) in sent
    batch = next(each for each in sent if isinstance(each, Prefilled) and each.batch == 1)
    assert ids(batch) == {left}
    later = [each for each in sent[sent.index(batch) :] if isinstance(each, Decoded)]
    assert ids(later[0]) == {RUNNING, left}
    assert all(cancelled not in ids(each) for each in sent if not isinstance(each, Cancelled))


def test_a_batch_whose_requests_are_all_cancelled_ends(engine: Engine) -> None:
    sent = serve(engine, [FIRST, SECOND, [Cancel(SHORT), Cancel(LONG)], []])
    assert [ids(each) for each in sent if isinstance(each, Prefilled)] == [{RUNNING}, set()]
