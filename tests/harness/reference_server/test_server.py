"""The reference server, read with a plain socket: it sends what its log and its oracle say. The
test uses none of our client code, so that two mistakes cannot cancel each other."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any

import pytest

from harness.reference_server import ReferenceServer, expect

pytestmark = pytest.mark.timed
PROMPT = [5, 6, 7]


def ask(
    server: ReferenceServer,
    model: str,
    tokens: int = 5,
    wait_s: float = 5.0,
    path: str = "completions",
    **prompt: Any,
) -> bytes:
    """Return the raw response, up to its end or until nothing arrives for ``wait_s``."""
    port = int(server.base_url.rsplit(":", 1)[1])
    body = json.dumps(
        {
            "model": model,
            **(prompt or {"prompt": PROMPT}),
            "max_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nX-Request-Id: 1\r\nContent-Length: {len(body)}\r\n\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(wait_s)
        connection.sendall(head.encode() + body)
        try:
            while not received.endswith(b"\r\n0\r\n\r\n"):
                data = connection.recv(65536)
                if not data:
                    break
                received += data
        except (TimeoutError, ConnectionResetError):
            pass
    return received


def body_of(response: bytes) -> bytes:
    """Join the HTTP chunks of a response and check their sizes."""
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
    return body


def objects(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in re.findall(rb"^data: (\{.*\})\r?$", body, re.MULTILINE)]


def test_real_token_ids_their_text_and_a_usage_record(server: ReferenceServer) -> None:
    body = body_of(ask(server, "ref.gap-1"))
    *tokens, usage = objects(body)
    assert [token["choices"][0]["token_ids"] for token in tokens] == [[5], [6], [7], [5], [6]]
    assert [token["choices"][0]["text"] for token in tokens] == [" №5", " №6", " №7", " №5", " №6"]
    assert tokens[-1]["choices"][0]["finish_reason"] == "length"
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("path", "prompt", "said"),
    [
        ("completions", {"prompt": "Hi"}, {"text": " №72"}),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": "Hi"}]},
            {"delta": {"content": " №72"}},
        ),
    ],
)
def test_text_is_answered_by_its_code_points_in_the_form_that_was_asked_for(
    server: ReferenceServer, path: str, prompt: dict[str, Any], said: dict[str, Any]
) -> None:
    first, *_ = objects(body_of(ask(server, "ref.gap-1", path=path, **prompt)))
    assert first["choices"] == [{"index": 0, **said, "token_ids": [72], "finish_reason": None}]


def test_embedded_times_logged_times_and_the_oracle_are_one_story(server: ReferenceServer) -> None:
    server.log()
    before = time.monotonic_ns()
    body = body_of(ask(server, "ref.ttft-30.gap-10"))
    after = time.monotonic_ns()
    entry = server.log()[1]
    embedded = [token["sent_ns"] for token in objects(body)][:-1]
    assert embedded == [at for at, _ in entry["sent"]]
    expected = expect("ref.ttft-30.gap-10", PROMPT, entry)
    assert list(expected.token_ns) == embedded
    assert before < entry["received_ns"] < embedded[0] < after
    assert embedded[0] - entry["received_ns"] >= 30_000_000
    assert embedded[-1] - entry["received_ns"] >= 69_000_000, "a late token delays no other"


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        ("ref.role-first", rb'^data: [^\n]*"role":"assistant"'),
        ("ref.empty-chunks", rb'^data: [^\n]*"text":"",'),
        ("ref.pings", rb"^: ping\n\ndata: "),
        ("ref.crlf", rb"\}\r\n\r\ndata: "),
        ("ref.pack-3", rb'"token_ids":\[5,6,7\]'),
        ("ref.short-2", rb'"completion_tokens":2'),
        ("ref.short-0", rb'"completion_tokens":0'),
        ("ref.error-2", rb"out of memory[^\n]*\n\ndata: \[DONE\]\n\n$"),
    ],
)
def test_misbehaviour_is_on_the_wire(server: ReferenceServer, model: str, pattern: bytes) -> None:
    assert re.search(pattern, body_of(ask(server, f"{model}.gap-1")), re.MULTILINE)


@pytest.mark.parametrize(
    ("model", "absent"), [("ref.no-ids", b"token_ids"), ("ref.no-usage", b"completion_tokens")]
)
def test_what_is_left_out_is_absent(server: ReferenceServer, model: str, absent: bytes) -> None:
    assert absent not in ask(server, f"{model}.gap-1")


def test_characters_are_split_over_chunks(server: ReferenceServer) -> None:
    response = ask(server, "ref.split-utf8.gap-1")
    halves = [part for part in response.split(b"\r\n") if b"\xe2" in part]
    assert halves
    with pytest.raises(UnicodeDecodeError):
        halves[0].decode()
    body_of(response).decode()


def test_a_cut_a_stall_and_a_premature_end_differ(server: ReferenceServer) -> None:
    cut, early = ask(server, "ref.cut-2.gap-1"), ask(server, "ref.premature-2.gap-1")
    began = time.monotonic()
    stalled = ask(server, "ref.stall-2.gap-1", wait_s=0.3)
    assert time.monotonic() - began >= 0.3
    assert not cut.endswith(b"0\r\n\r\n")
    assert not stalled.endswith(b"0\r\n\r\n")
    assert early.endswith(b"0\r\n\r\n")
    assert b"[DONE]" not in cut + early + stalled


def test_refusals_have_a_status_a_reason_and_a_wait(server: ReferenceServer) -> None:
    busy, failed = ask(server, "ref.busy-9"), ask(server, "ref.fail-503")
    assert busy.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nRetry-After: 9\r\n" in busy
    assert failed.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


def test_headers_come_first_or_late_as_asked(server: ReferenceServer) -> None:
    server.log()
    ask(server, "ref.ttft-50.gap-1.headers-first")
    first = server.log()[1]
    ask(server, "ref.slow-headers-40.gap-1")
    late = server.log()[1]
    assert first["sent"][0][0] - first["head_ns"] >= 45_000_000
    assert late["head_ns"] - late["received_ns"] >= 40_000_000


@pytest.mark.parametrize(("model", "status"), [("ref.no-such-thing", b"404"), ("ref", b"400")])
def test_what_it_cannot_do_it_refuses(server: ReferenceServer, model: str, status: bytes) -> None:
    tokens = 5 if status == b"404" else "many"
    assert ask(server, model, tokens).split(b" ")[1] == status  # type: ignore[arg-type]


def test_what_is_no_http_is_refused(server: ReferenceServer) -> None:
    port = int(server.base_url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert connection.recv(65536) == b"", "the connection is closed"
    assert ask(server, "ref").split(b" ")[1] == b"200"
