"""An instance that is told to pause decodes no further, and computes prompts all the same."""

from __future__ import annotations

from collections.abc import Sequence

from systems.engine.engine import Engine
from systems.runtime.messages import Message
from systems.serverless.live.instance import Instance
from systems.serverless.live.messages import Decoded, PauseDecoding, Prefilled, ResumeDecoding

from .test_prompt_pieces import (  # noqa: F401 - a fixture
    FIRST,
    RUNNING,
    SECOND,
    Polls,
    engine,
    ids,
    serve,
)

LONG_NS = 60 * 10**9


def steps(engine: Engine, *between: Sequence[Message]) -> int:  # noqa: F811
    """Return the decode steps of a request, these messages in between, a poll each."""
    return len([each for each in serve(engine, [FIRST, *between, [], []]) if type(each) is Decoded])


def test_it_decodes_on_when_it_is_told_to(engine: Engine) -> None:  # noqa: F811
    whole = steps(engine, *[[]] * 6)
    paused = steps(engine, [PauseDecoding(LONG_NS)], *[[]] * 4, [ResumeDecoding()])
    assert paused == whole - 5


def test_between_two_pauses_is_a_step(engine: Engine) -> None:  # noqa: F811
    """All messages come in one poll, as from a device on which prompts never end."""
    again = [ResumeDecoding(), PauseDecoding(LONG_NS)]
    none = steps(engine, [PauseDecoding(LONG_NS)], *[[]] * 4)
    assert steps(engine, [PauseDecoding(LONG_NS)], *[again] * 4) == none + 4


def test_a_batch_is_computed_meanwhile(engine: Engine) -> None:  # noqa: F811
    sent = serve(engine, [FIRST, [PauseDecoding(LONG_NS)], SECOND, *[[]] * 9])
    after = sent[sent.index(next(each for each in sent if isinstance(each, Decoded))) + 1 :]
    assert [(type(each), each.batch) for each in after] == [(Prefilled, 1)], "and nothing decoded"


def test_no_pause_is_longer_than_its_bound(engine: Engine) -> None:  # noqa: F811
    assert steps(engine, [PauseDecoding(1)], []) == steps(engine, [], [])


def test_it_waits_for_messages_as_long_as_it_is_paused(engine: Engine) -> None:  # noqa: F811
    channel = Polls([FIRST, [PauseDecoding(LONG_NS)], [], [ResumeDecoding()], []])
    instance = Instance(channel)  # type: ignore[arg-type]
    instance.artifacts.engine = engine
    instance.run()
    engine.cancel(RUNNING)
    long = [wait for wait in channel.waits if wait and wait > 1_000]
    assert long
    assert all(59_000 < wait <= 60_000 for wait in long)
    assert channel.waits[-1] == 0
