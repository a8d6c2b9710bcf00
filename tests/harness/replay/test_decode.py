"""Decoding a stream's bytes, beyond the cases of the regression mutants."""

from __future__ import annotations

import json

import pytest

from harness.replay.decode import decode
from harness.replay.frames import Captured, Ending
from tests.regression_mutants.playback import START_NS, play
from tests.regression_mutants.streams import agrees, ours

BEHAVIOURS = (
    "ref",
    "ref.ttft-50.gap-3",
    "ref.pack-4",
    "ref.pack-4.crlf.pings",
    "ref.empty-chunks.split-utf8",
    "ref.headers-first.role-first.no-usage",
    "ref.slow-headers-40",
    "ref.short-2",
    "ref.error-0",
    "ref.cut-0",
    "ref.stall-3.no-ids",
    "ref.premature-0",
    "ref.fail-500",
    "ref.fail-503",
    "ref.busy-0",
)


@pytest.mark.parametrize("model", BEHAVIOURS)
def test_the_record_agrees_with_the_oracle(model: str) -> None:
    agrees(model)(ours)


NO_PIECE = "an event is no piece of a completion: "


@pytest.mark.parametrize("count", ["-1", "true", "1e3", "2147483648", "[]", '"5"'])
def test_a_number_of_tokens_that_is_none_is_unknown(count: str) -> None:
    body = b'data: {"usage": {"prompt_tokens": %s, "completion_tokens": 5}}\n\ndata: [DONE]\n\n'
    record = decode(captured(body % count.encode()), START_NS)
    assert (record.prompt_tokens, record.output_tokens) == (None, 5)


def captured(body: bytes, *, status: int = 200, ending: Ending = Ending.COMPLETE) -> Captured:
    at = START_NS + 5
    chunks = [body] if body else []
    return Captured(
        0, int(ending), START_NS + 1, 0, at, at, status, "", [at] * len(chunks), chunks, "why"
    )


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"data: {oops\n\n", "error_event", "an event is not JSON: {oops"),
        (b"data: [1]\n\n", "error_event", "an event is not an object: [1]"),
        (b"event: error\ndata: {\"message\": \"no\\nroom\"}\n\n", "error_event", "no room"),
        (b"data: {\"error\": \"plain\"}\n\n", "error_event", "plain"),
        (b"data: {\"choices\": [1]}\n\n", "error_event", NO_PIECE + '{"choices": [1]}'),
        (b"data: {\"choices\": 1}\n\n", "error_event", NO_PIECE + '{"choices": 1}'),
        (b"data: {\"usage\": 1}\n\n", "error_event", NO_PIECE + '{"usage": 1}'),
        (b"data: {\"choices\": [{\"text\": 1}]}\n\n", "error_event",
         NO_PIECE + '{"choices": [{"text": 1}]}'),
        (b'data: "\\ud83d"\n\n', "error_event", 'an event is not JSON: "\\ud83d"'),
        (b"<html>hello</html>", "error_event", "no event stream: <html>hello</html>"),
        (b"caf\xe9", "error_event", "no event stream: caf\N{REPLACEMENT CHARACTER}"),
        (b"", "cut", "the stream ended before a finish reason or [DONE]"),
        (b"data: [DONE]\n\n", "ok", "empty completion"),
    ],
)  # fmt: skip
def test_odd_answers_are_recorded_as_what_they_are(body: bytes, status: str, error: str) -> None:
    record = decode(captured(body), START_NS)
    assert (record.status, record.error) == (status, error)


def test_what_the_server_said_outranks_how_the_connection_ended() -> None:
    body = b'data: {"error": {"message": "out of memory"}}\n\n'
    record = decode(captured(body, ending=Ending.CUT), START_NS)
    assert (record.status, record.error) == ("error_event", "out of memory")


def test_a_refusal_that_is_no_json_still_says_something() -> None:
    record = decode(captured(b"<h1>Bad\n Gateway</h1>", status=502), START_NS)
    assert (record.status, record.error) == ("http_5xx", "HTTP 502: <h1>Bad Gateway</h1>")


def test_a_refusal_says_when_to_come_again() -> None:
    refused = captured(b'{"error": {"message": "busy"}}', status=429)
    record = decode(refused._replace(retry_after="3"), START_NS)
    assert (record.status, record.error) == ("http_429", "HTTP 429 (Retry-After: 3): busy")


def test_a_client_error_is_told_from_a_server_error() -> None:
    record = decode(captured(b'{"error": {"message": "no such model"}}', status=404), START_NS)
    assert (record.status, record.error) == ("http_4xx", "HTTP 404: no such model")


def test_what_was_not_sent_has_no_times() -> None:
    unsent = captured(b"", ending=Ending.UNSENT)._replace(http_status=0)
    record = decode(unsent, START_NS)
    assert record.status == "unsent"
    assert (record.sent_ns, record.first_byte_ns, record.end_ns) == (None, None, None)


def test_chat_chunks_are_read_too() -> None:
    body = (
        b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    )
    record = decode(captured(body), START_NS)
    assert record.status == "ok"
    assert record.events == 2
    assert record.first_token_ns == 5


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_chat_that_reasons_first_has_its_first_token_there(field: str) -> None:
    """The server counts those tokens: without their time, a token would take next to none."""
    deltas = [
        {"role": "assistant", "content": ""},
        {field: "We"},
        {field: " add"},
        {"content": "4"},
    ]
    chunks = [f'data: {{"choices":[{{"delta":{json.dumps(each)}}}]}}\n\n' for each in deltas]
    usage = 'data: {"choices":[],"usage":{"completion_tokens":3}}\n\ndata: [DONE]\n\n'
    whole = captured(b"")._replace(
        chunks=[each.encode() for each in (*chunks, usage)],
        times=[START_NS + at for at in (10, 20, 30, 40, 50)],
    )
    record = decode(whole, START_NS)
    assert (record.status, record.error, record.output_tokens) == ("ok", None, 3)
    assert (record.first_token_ns, record.last_token_ns) == (20, 40)
    assert record.itl_ns == [10, 10]


def test_gaps_add_up_to_the_time_between_first_and_last_token() -> None:
    exchange, _ = play("ref.pack-4", max_tokens=11)
    record = decode(exchange, START_NS)
    assert record.itl_ns is not None
    assert record.first_token_ns is not None
    assert record.last_token_ns == record.first_token_ns + sum(record.itl_ns)
    assert len(record.itl_ns) == 10
