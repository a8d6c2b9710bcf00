"""The state of a request in the gateway, and its trace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from systems.interface import RequestTrace, Span, Stage

from . import stages
from .answers import Answers
from .messages import RequestFields, Sampling
from .times import Step, clamp


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of one step; ``finished`` is None, ``stop`` or ``length``."""

    ids: tuple[int, ...]
    finished: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a request: ``status`` is the HTTP status, ``retry_after_s`` its header."""

    status: int
    reason: str
    retry_after_s: int | None = None


@dataclass(slots=True, eq=False)
class Call:
    """A request in the platform."""

    id: int
    client_id: str
    function: str
    prompt_ids: list[int]
    max_tokens: int
    sampling: Sampling
    received_ns: int
    answers: Answers[Tokens | Failure] = field(default_factory=Answers)
    deadline: asyncio.TimerHandle | None = None
    instance: int | None = None
    batch_size: int | None = None
    provisioning: tuple[Span, ...] = ()
    started_for_it: bool = False
    """Its instance started while the request waited."""
    prefill_ns: int | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    placed_ns: int | None = None
    """When it was sent to its instance."""
    done_ns: int | None = None
    """When it ended: its instance reported the end, or its caller disconnected."""
    tokens: int = 0
    """Number of tokens returned to the caller."""
    settled: bool = False
    """Its trace is in the journal; later events of the request are not written."""

    def fields(self, adapter: str | None = None) -> RequestFields:
        """Return the fields that the engine needs."""
        prompt = tuple(self.prompt_ids)
        return RequestFields(self.id, prompt, self.max_tokens, self.sampling, adapter)

    def stepped(self, step: Step) -> None:
        """Update its stage times. They never decrease or exceed the time of receipt of a step."""
        if self.first_token_ns is None:
            given_ns = self.received_ns if self.placed_ns is None else self.placed_ns
            start_ns = given_ns if step.start_ns is None else step.start_ns
            self.prefill_ns = clamp(start_ns, given_ns, step.heard_ns)
            self.first_token_ns = clamp(step.end_ns, self.prefill_ns, step.heard_ns)
        earliest_ns = self.last_token_ns or self.first_token_ns
        self.last_token_ns = clamp(step.end_ns, earliest_ns, step.heard_ns)


def request_trace(call: Call, responded_ns: int | None) -> RequestTrace:
    """Return the trace of a request, whether it got a response or not."""
    spans = tuple(_spans(call))
    placed = call.instance is not None
    return RequestTrace(
        request_id=call.client_id,
        function_id=call.function,
        received_ns=call.received_ns,
        responded_ns=responded_ns,
        start_type=(
            stages.start_type(spans, started_for_it=call.started_for_it) if placed else None
        ),
        instance_id=str(call.instance) if placed else None,
        batch_size=call.batch_size,
        spans=spans,
        placed_ns=call.placed_ns,
        done_ns=None if call.placed_ns is None else call.done_ns,
    )


def _spans(call: Call) -> list[Span]:
    if call.prefill_ns is None or call.first_token_ns is None:
        return []
    spans = stages.waited_for(call.provisioning, call.received_ns, call.prefill_ns)
    spans.append(Span(Stage.PREFILL, call.prefill_ns, call.first_token_ns))
    last_ns = call.last_token_ns or call.first_token_ns
    if last_ns > call.first_token_ns:
        spans.append(Span(Stage.DECODE, call.first_token_ns, last_ns))
    return spans
