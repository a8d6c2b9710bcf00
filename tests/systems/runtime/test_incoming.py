"""Every receiver accepts the messages of its types and refuses all others with a one-line error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from systems.runtime.incoming import BadMessageError, Incoming
from systems.runtime.messages import MOST_TOKENS, StepToken
from systems.serverful.inhouse.replica import ROLE as REPLICA
from systems.serverless.live.messages import CopySum, Decoded, Summed
from systems.serverless.live.roles import AUDITOR, INSTANCE, LOADER, PARSER, TEMPLATE

from .wording import foreign, malformed, messages

ROLES = (INSTANCE, LOADER, AUDITOR, PARSER, TEMPLATE, REPLICA)
RECEIVERS = {
    f"{role.name} {way}": incoming
    for role in ROLES
    for way, incoming in (("says", role.says), ("hears", role.hears))
}
everywhere = pytest.mark.parametrize("incoming", RECEIVERS.values(), ids=RECEIVERS)


@everywhere
def test_every_message_survives_the_way(incoming: Incoming) -> None:
    @settings(max_examples=30, deadline=None)
    @given(messages(incoming))
    def check(message: Any) -> None:
        assert incoming.decode(msgspec.json.encode(message)) == message

    check()


@everywhere
def test_anything_else_is_refused_in_one_printable_line(incoming: Incoming) -> None:
    others = [each for each in RECEIVERS.values() if each is not incoming]

    @settings(max_examples=60, deadline=None)
    @given(malformed(incoming) | foreign(*others))
    def check(data: bytes) -> None:
        taken, refusal = outcome(incoming, data)
        assert (taken in accepted(incoming)) != bool(refusal)
        assert len(refusal) <= 200
        assert refusal.isascii()
        assert refusal.isprintable()

    check()


def outcome(incoming: Incoming, data: bytes) -> tuple[type | None, str]:
    """The type of the accepted message, or the error."""
    try:
        return type(incoming.decode(data)), ""
    except BadMessageError as error:
        return None, str(error)


def accepted(incoming: Incoming) -> set[type]:
    info = msgspec.inspect.type_info(incoming.messages)
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return {kind.cls for kind in kinds if isinstance(kind, msgspec.inspect.StructType)}


BEYOND: dict[str, Callable[[], Any]] = {
    "tokens of a step": lambda: Decoded(1, (StepToken(1, 2, None),) * (MOST_TOKENS + 1)),
    "a checksum of 2^64": lambda: {"kind": "summed", "sum": _sum(2**64)},
    "a checksum below zero": lambda: {"kind": "summed", "sum": _sum(-1)},
}


def _sum(checksum: int) -> dict[str, int]:
    return {"checksum": checksum, "start_ns": 1, "end_ns": 2}


@pytest.mark.parametrize("what", BEYOND)
def test_bounds_hold(what: str) -> None:
    said = RECEIVERS["instance says" if "tokens" in what else "auditor says"]
    with pytest.raises(BadMessageError):
        said.decode(msgspec.json.encode(BEYOND[what]()))


def test_what_lies_within_the_bounds_is_taken() -> None:
    step = Decoded(1, (StepToken(1, 2, None),) * MOST_TOKENS)
    assert INSTANCE.says.decode(msgspec.json.encode(step)) == step
    largest = Summed(CopySum(2**64 - 1, 1, 2))
    assert AUDITOR.says.decode(msgspec.json.encode(largest)) == largest
