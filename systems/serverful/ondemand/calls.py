"""A call in the proxy, and its trace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from systems.interface import RequestTrace, Span, Stage
from systems.runtime import stages


@dataclass(slots=True, eq=False)
class ProxiedCall:
    """``permit`` is set when the call may go to its server, or to the reason why it may not."""

    id: int
    client_id: str
    function: str
    server: str
    received_ns: int
    permit: asyncio.Future[None] = field(default_factory=asyncio.Future)
    roused: tuple[Span, ...] = ()
    """The starts and wakes of its server that went on while it waited."""
    started_for_it: bool = False
    """Its server's process was started while it waited."""
    forwarded_ns: int | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    done_ns: int | None = None


def trace(call: ProxiedCall, responded_ns: int | None) -> RequestTrace:
    """Return what the proxy saw: the wait, divided into ``queue`` and ``warming`` (its server
    started or woke); from there to the first token (``prefill``, which includes the server's own
    queue); and the rest. Without a first token there are no stages."""
    spans = tuple(_spans(call))
    placed = call.forwarded_ns is not None
    return RequestTrace(
        request_id=call.client_id,
        function_id=call.function,
        received_ns=call.received_ns,
        responded_ns=responded_ns,
        start_type=(
            stages.start_type(call.roused, started_for_it=call.started_for_it) if placed else None
        ),
        instance_id=call.server if placed else None,
        spans=spans,
        placed_ns=call.forwarded_ns,
        done_ns=call.done_ns if placed else None,
    )


def _spans(call: ProxiedCall) -> list[Span]:
    if call.forwarded_ns is None or call.first_token_ns is None:
        return []
    spans = stages.waited_for(call.roused, call.received_ns, call.forwarded_ns)
    spans.append(Span(Stage.PREFILL, call.forwarded_ns, call.first_token_ns))
    if call.last_token_ns is not None and call.last_token_ns > call.first_token_ns:
        spans.append(Span(Stage.DECODE, call.first_token_ns, call.last_token_ns))
    return spans
