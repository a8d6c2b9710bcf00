"""What each kind of process may say to the gateway: types and bounds, checked before anything
else looks at a message.

An instance runs a tenant's adapter and may have been taken over. Whether a well-formed message is
believed is decided where it is known what was asked (core/controller.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from systems.serverless.core.artifacts import Artifact

MOST_TOKENS = 4096
"""Of one step: one for each request that runs."""


class BadMessageError(ValueError):
    """A message that its sender may not send; the text says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a field of a message may hold."""

    what: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Speech:
    """What a process may say: by kind of message the fields that it must have (others are not
    looked at), how many descriptors come along at most, and how long a message is at most."""

    kinds: Mapping[str, Mapping[str, Field]]
    descriptors: int = 0
    most_bytes: int = 64 << 10

    def check(self, message: Any) -> None:
        """``BadMessageError`` for what is no message of these."""
        if not isinstance(message, dict):
            raise BadMessageError("a message that is no object")
        kind = message.get("kind")
        fields = self.kinds.get(kind) if isinstance(kind, str) else None
        if fields is None:
            raise BadMessageError(f"kind is {_brief(kind)}, not one of {', '.join(self.kinds)}")
        for name, field in fields.items():
            if not field.fits(message.get(name)):
                found = _brief(message.get(name))
                raise BadMessageError(f"{kind}: {name} is {found}, not {field.what}")


def _brief(value: Any) -> str:
    return ascii(value)[:60]


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _optional(field: Field) -> Field:
    return Field(f"{field.what} or null", lambda value: value is None or field.fits(value))


def _is_token(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and COUNT.fits(value[0])
        and _whole(value[1], 0, 2**31 - 1)
        and value[2] in (None, "stop", "length")
    )


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST_TOKENS and all(map(_is_token, value))


_ARTIFACTS = frozenset(artifact.value for artifact in Artifact)

COUNT = Field("a whole number below 2^63", lambda value: _whole(value, 0, 2**63 - 1))
SUM = Field("a whole number below 2^64", lambda value: _whole(value, 0, 2**64 - 1))
STATUS = Field("an exit status", lambda value: _whole(value, -(2**31), 2**31 - 1))
TEXT = Field("a text", lambda value: isinstance(value, str))
FLAG = Field("true or false", lambda value: isinstance(value, bool))
OBJECT = Field("an object", lambda value: isinstance(value, dict))
ARTIFACT = Field("an artifact", lambda value: isinstance(value, str) and value in _ARTIFACTS)
TOKENS = Field(
    f"at most {MOST_TOKENS} triples of request, token and null, stop or length", _are_tokens
)

_STARTED = {"started": {"t_ns": COUNT}}
_FAILED = {"failed": {"reason": TEXT}}
_PONG: Mapping[str, Mapping[str, Field]] = {"pong": {}}
_STEP = {"start_ns": COUNT, "t_ns": COUNT, "tokens": TOKENS}

INSTANCE = Speech(
    {
        **_STARTED,
        **_FAILED,
        **_PONG,
        "loaded": {"artifact": ARTIFACT},
        "offloaded": {},
        "cancelled": {"request": COUNT},
        "prefilled": {"batch": COUNT, **_STEP},
        "decoded": {"t_ns": COUNT, "tokens": TOKENS},
    }
)
LOADER = Speech(
    {
        **_FAILED,
        "loaded": {
            "handle": _optional(TEXT),
            "checksum": _optional(SUM),
            "start_ns": _optional(COUNT),
            "end_ns": _optional(COUNT),
        },
    },
    descriptors=1,
)
AUDITOR = Speech(
    {**_FAILED, "summed": {"checksum": SUM, "start_ns": COUNT, "end_ns": COUNT}},
)
TEMPLATE = Speech(
    {
        **_STARTED,
        **_FAILED,
        **_PONG,
        "ready": {"t_ns": COUNT},
        "forked": {"token": COUNT, "pid": COUNT},
        "exited": {"pid": COUNT, "returncode": STATUS, "used_ns": COUNT},
    }
)
REPLICA = Speech(
    {
        **_FAILED,
        "ready": {"timings": OBJECT},
        "stepped": _STEP,
        "switched": {"merged": _optional(TEXT), "start_ns": COUNT, "t_ns": COUNT},
        "parted": {"request": COUNT, "there": FLAG, "state": _optional(OBJECT)},
        "joined": {"request": COUNT},
    },
    descriptors=1,
)

OF_ROLE: Mapping[str, Speech] = {
    "auditor": AUDITOR,
    "instance": INSTANCE,
    "loader": LOADER,
    "replica": REPLICA,
    "zygote": TEMPLATE,
}
