"""The base of every message between processes of one machine, and those that several roles share.

A message is a frozen struct whose type is named by ``kind``. Fields that a type does not have are
refused, and each field states its bounds, so that the receiver's decoder checks a whole message.
Whether its sender may say it is decided where it is known what was asked of that process.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from systems.engine.requests import GenerationRequest

MOST_TOKENS = 4096
"""Of one step: one for each request that runs."""
MOST_PROMPT_TOKENS = 1 << 20

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PositiveCount = Annotated[int, Meta(ge=1, le=2**63 - 1)]
RequestId = Count
ProcessId = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Nanoseconds = Count
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Meta(ge=0.0)]
Name = Annotated[str, Meta(max_length=4096)]
"""Of a file, a function, a device or a scheme."""
Document = Annotated[str, Meta(max_length=2 << 20)]
"""JSON of another schema, such as a backbone's layout."""
Reason = Annotated[str, Meta(max_length=32 << 10)]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A structure inside messages."""


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower):
    """``kind`` is the class's name in lower case, unless the class says otherwise."""


class StepToken(Part, frozen=True, array_like=True):
    """A token that a step gave a request; ``finished`` says whether and why it was the last."""

    request: RequestId
    id: TokenId
    finished: Literal["stop", "length"] | None


StepTokens = Annotated[tuple[StepToken, ...], Meta(max_length=MOST_TOKENS)]


class Sampling(Part, frozen=True):
    """How a request's tokens are chosen; see :class:`GenerationRequest`."""

    temperature: Annotated[float, Meta(ge=0.0)] = 0.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    ignore_eos: bool = False
    stop_token_ids: Annotated[tuple[TokenId, ...], Meta(max_length=MOST_TOKENS)] = ()


class RequestFields(Part, frozen=True):
    """A request as its engine needs it; ``adapter`` is for engines that hold several."""

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
    """Asks whether the process still reads its channel."""


class Pong(Message, frozen=True):
    """Answers a ping."""


class Started(Message, frozen=True):
    """The process runs its role's code, since ``t_ns``."""

    t_ns: Nanoseconds


class Failed(Message, frozen=True):
    """The process cannot do what it was asked to, and ends."""

    reason: Reason


class Request(Message, frozen=True):
    """Hands a request over."""

    request: RequestFields


class Cancel(Message, frozen=True):
    """Withdraws a request."""

    request: RequestId


class Stop(Message, frozen=True):
    """Tells the process to end."""
