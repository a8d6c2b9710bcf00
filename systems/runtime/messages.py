"""The base class of messages between processes of one machine, and messages that roles share.

A message is a frozen struct; its field ``kind`` names the type. Unknown fields are refused and each
field has bounds, so the receiver's decoder checks the whole message. Whether a process may send a
message now is checked by the code that knows what was asked of the process.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from systems.engine.requests import GenerationRequest

MOST_TOKENS = 4096
"""Maximum number of tokens of one step: one for each running request."""
MOST_PROMPT_TOKENS = 1 << 20

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PositiveCount = Annotated[int, Meta(ge=1, le=2**63 - 1)]
RequestId = Count
ProcessId = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Nanoseconds = Count
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Meta(ge=0.0)]
Name = Annotated[str, Meta(max_length=4096)]
"""Name of a file, a function, a device or a scheme."""
Document = Annotated[str, Meta(max_length=2 << 20)]
"""JSON of another schema, such as a backbone's layout."""
Reason = Annotated[str, Meta(max_length=32 << 10)]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of structures inside messages."""


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower):
    """``kind`` is the class name in lower case, unless the class sets another tag."""


class StepToken(Part, frozen=True, array_like=True):
    """A token of a request from one step; ``finished`` is the reason if it is the last token."""

    request: RequestId
    id: TokenId
    finished: Literal["stop", "length"] | None


StepTokens = Annotated[tuple[StepToken, ...], Meta(max_length=MOST_TOKENS)]


class Sampling(Part, frozen=True):
    """Sampling parameters of a request; see :class:`GenerationRequest`."""

    temperature: Annotated[float, Meta(ge=0.0)] = 0.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    ignore_eos: bool = False
    stop_token_ids: Annotated[tuple[TokenId, ...], Meta(max_length=MOST_TOKENS)] = ()


class RequestFields(Part, frozen=True):
    """A request in the form that the engine takes; ``adapter`` is for engines with several."""

    id: RequestId
    prompt_ids: Annotated[tuple[TokenId, ...], Meta(max_length=MOST_PROMPT_TOKENS)]
    max_tokens: PositiveCount
    sampling: Sampling = Sampling()
    adapter: Name | None = None

    def for_engine(self) -> GenerationRequest:
        chosen = self.sampling
        return GenerationRequest(
            self.id,
            self.prompt_ids,
            self.max_tokens,
            chosen.temperature,
            chosen.top_p,
            chosen.seed,
            chosen.ignore_eos,
            chosen.stop_token_ids,
            self.adapter,
        )


class Ping(Message, frozen=True):
    """Checks that the process still reads its channel."""


class Pong(Message, frozen=True):
    """Answers a ping."""


class Started(Message, frozen=True):
    """The process began to run its role's code at ``t_ns``."""

    t_ns: Nanoseconds


class Failed(Message, frozen=True):
    """The process cannot do what it was asked to do, and ends."""

    reason: Reason


class Request(Message, frozen=True):
    """Sends a request to an instance."""

    request: RequestFields


class Cancel(Message, frozen=True):
    """Cancels a request."""

    request: RequestId


class Stop(Message, frozen=True):
    """Tells the process to end."""
