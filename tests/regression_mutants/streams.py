"""Rules 3, 6 and 8: the content of a stream, its first token and its end.

A subject reads a captured exchange and returns a record. Planted readers are our reader with one
defect.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from harness.replay.decode import decode
from harness.replay.frames import Captured
from harness.replay.records import Record

from .mutant import Mutant
from .playback import START_NS, play

Reader = Callable[[Captured], Record]


def ours(captured: Captured) -> Record:
    return decode(captured, START_NS)


def agrees(model: str) -> Callable[[Reader], None]:
    """Return a check that the record of a reader equals the oracle's expectation."""

    def check(reader: Reader) -> None:
        captured, expected = play(model)
        record = reader(captured)
        for name in ("status", "output_tokens", "prompt_tokens", "text_sha256"):
            assert getattr(record, name) == getattr(expected, name), name
        for name in ("first_token_ns", "last_token_ns"):
            at_ns = getattr(expected, name)
            assert getattr(record, name) == (at_ns and at_ns - START_NS), name

    return check


def first_byte_is_first_token(captured: Captured) -> Record:
    record = ours(captured)
    return dataclasses.replace(record, first_token_ns=record.first_byte_ns)


def first_read_is_first_token(captured: Captured) -> Record:
    at_ns = captured.times[0] - START_NS
    return dataclasses.replace(ours(captured), first_token_ns=at_ns)


def first_event_is_first_token(captured: Captured) -> Record:
    at_ns = next(
        at
        for at, chunk in zip(captured.times, captured.chunks, strict=True)
        if chunk.startswith(b"data:")
    )
    return dataclasses.replace(ours(captured), first_token_ns=at_ns - START_NS)


def _with_chunks(captured: Captured, change: Callable[[bytes], bytes]) -> Record:
    return ours(captured._replace(chunks=[change(chunk) for chunk in captured.chunks]))


def only_line_feeds(captured: Captured) -> Record:
    """Looks for LF LF, which CR LF CR LF does not contain."""
    return _with_chunks(captured, lambda chunk: chunk.replace(b"\r\n\r\n", b""))


def decodes_each_read(captured: Captured) -> Record:
    return _with_chunks(captured, lambda chunk: chunk.decode("utf-8", "ignore").encode())


def expects_a_choice_in_every_event(captured: Captured) -> Record:
    """Stops at the trailing usage record, which has no choice."""

    def without_usage(chunk: bytes) -> bytes:
        return b"" if b'"choices":[]' in chunk else chunk

    return _with_chunks(captured, without_usage)


def believes_the_http_status(captured: Captured) -> Record:
    record = ours(captured)
    return dataclasses.replace(record, status="ok") if record.http_status == 200 else record


def whatever_ended_is_ok(captured: Captured) -> Record:
    record = ours(captured)
    return dataclasses.replace(record, status="ok") if record.status == "cut" else record


def stops_the_clock_at_the_headers(captured: Captured) -> Record:
    """End the response time at the headers, as some HTTP clients do for streamed responses."""
    record = ours(captured)
    return dataclasses.replace(record, end_ns=record.first_byte_ns)


def no_text_is_an_error(captured: Captured) -> Record:
    record = ours(captured)
    return record if record.first_token_ns else dataclasses.replace(record, status="cut")


def any_refusal_is_a_server_error(captured: Captured) -> Record:
    record = ours(captured)
    refused = record.http_status not in (None, 200)
    return dataclasses.replace(record, status="http_5xx") if refused else record


def one_event_a_read(captured: Captured) -> Record:
    """Uses only the first event of each read."""
    return _with_chunks(captured, lambda chunk: chunk.split(b"\n\n")[0] + b"\n\n")


def ends_with_its_last_byte(reader: Reader) -> None:
    captured, _ = play("ref.headers-first")
    assert reader(captured).end_ns == captured.end_ns - START_NS


def tells_every_event_of_a_read(reader: Reader) -> None:
    captured, expected = play("ref.burst-3")
    joined = captured._replace(times=[captured.times[-1]], chunks=[b"".join(captured.chunks)])
    assert reader(joined).output_tokens == expected.output_tokens
    assert reader(joined).text_sha256 == expected.text_sha256


def carries_the_reason(reader: Any) -> None:
    captured, _ = play("ref.busy-3")
    error = reader(captured).error
    assert error is not None
    assert "Retry-After: 3" in error
    assert "too many requests" in error


def drops_the_reason(captured: Captured) -> Record:
    return dataclasses.replace(ours(captured), error=json.dumps({}))


EXHIBITS = [
    Mutant(3, "response time ends at the headers", ends_with_its_last_byte, ours,
            stops_the_clock_at_the_headers),
    Mutant(6, "TTFT of the headers", agrees("ref.headers-first"), ours,
            first_byte_is_first_token),
    Mutant(6, "TTFT of a role-only chunk", agrees("ref.role-first"), ours,
            first_event_is_first_token),
    Mutant(6, "TTFT of an empty chunk", agrees("ref.empty-chunks"), ours,
            first_event_is_first_token),
    Mutant(6, "TTFT of a ping", agrees("ref.pings"), ours, first_read_is_first_token),
    Mutant(8, "CRLF", agrees("ref.crlf"), ours, only_line_feeds),
    Mutant(8, "split UTF-8", agrees("ref.split-utf8"), ours, decodes_each_read),
    Mutant(8, "trailing usage chunk", agrees("ref.no-ids"), ours,
            expects_a_choice_in_every_event),
    Mutant(8, "several events in a read", tells_every_event_of_a_read, ours, one_event_a_read),
    Mutant(8, "HTTP 200, then an error", agrees("ref.error-2"), ours, believes_the_http_status),
    Mutant(8, "cut mid-stream", agrees("ref.cut-2"), ours, whatever_ended_is_ok),
    Mutant(8, "ends without having said so", agrees("ref.premature-2"), ours,
            whatever_ended_is_ok),
    Mutant(8, "stalls", agrees("ref.stall-2"), ours, believes_the_http_status),
    Mutant(8, "empty completion", agrees("ref.short-0"), ours, no_text_is_an_error),
    Mutant(8, "429 is not a failure of the server", agrees("ref.busy-3"), ours,
            any_refusal_is_a_server_error),
    Mutant(8, "the reason of a refusal is lost", carries_the_reason, ours, drops_the_reason),
]  # fmt: skip
