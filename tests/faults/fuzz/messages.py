"""Spoilt messages of every protocol: truncated, changed, of other types, or of another protocol."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from systems.errors import SystemsError

from .mutations import SPOIL, Random, some_leaf
from .protocols import PROTOCOLS, Protocol, RefusedError
from .tally import Tally

LONGEST = 400
"""Characters of a refusal, which quotes its sender."""


class InALineError(SystemsError):
    """What a receiver reports."""


def messages(examples: int, seed: int, folder: Path) -> Tally:
    """Read spoilt messages of each protocol, the same number of each."""
    tally = Tally("messages")
    for name, protocol in PROTOCOLS.items():
        _try(name, protocol, -(-examples // len(PROTOCOLS)), seed, tally)
    return tally


def _try(name: str, protocol: Protocol, examples: int, seed: int, tally: Tally) -> None:
    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(protocol.valid, st.integers(0, 2**32 - 1))
    def attempt(valid: bytes, number: int) -> None:
        data = spoilt(np.random.default_rng(number), valid)
        tally.attempt(f"{name}: {data[:100]!r}", lambda: _read(protocol, data))

    attempt()


def _read(protocol: Protocol, data: bytes) -> None:
    try:
        protocol.read(data)
    except RefusedError as refusal:
        said = str(refusal)
        assert len(said) <= LONGEST, f"a refusal of {len(said)} characters"
        assert said.isprintable(), f"a refusal that is not printable: {said!r}"
        raise InALineError(said) from refusal


def spoilt(random: Random, valid: bytes) -> bytes:
    """Return the message with a value or its bytes changed; sometimes as it is."""
    match int(random.integers(6)):
        case 0:
            return valid
        case 1 | 2:
            return SPOIL[str(random.choice(list(SPOIL)))](random, valid)
        case _:
            return _value_changed(random, valid)


def _value_changed(random: Random, valid: bytes) -> bytes:
    """Replace a value of a JSON object or a msgpack map; other bytes are cut."""
    for read, write in (
        (json.loads, lambda each: json.dumps(each).encode("utf-8", "surrogatepass")),
        (msgspec.msgpack.decode, _packed),
    ):
        try:
            return write(some_leaf(random, read(valid)))
        except (ValueError, TypeError, OverflowError):
            continue
    return SPOIL["cut"](random, valid)


def _packed(content: object) -> bytes:
    """Encode what has no place in msgpack as text: integers beyond 64 bits, lone surrogates."""
    try:
        return msgspec.msgpack.encode(content)
    except (OverflowError, UnicodeEncodeError):
        return msgspec.msgpack.encode(repr(content))
