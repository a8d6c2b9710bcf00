"""Sends one request to an endpoint and reads the whole response."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from systems.interface import Endpoint

from ..replay.decode import Answer
from ..replay.sse import EventParser
from ..replay.target import Target

TIMEOUT_S = 120.0
PROMPT = tuple(range(40, 56))
"""Token ids below 256, which every vocabulary has: sixteen of them."""
_READ_BYTES = 65_536


@dataclass(frozen=True)
class Reply:
    """``answer``: the decoded stream; empty if the status is not 200."""

    status: int
    content_type: str
    answer: Answer


@contextmanager
def sending(
    endpoint: Endpoint, model: str, body: Mapping[str, Any] | bytes, **headers: str
) -> Iterator[http.client.HTTPResponse]:
    """Send a request to the function ``model`` and yield its response after the head is read. The
    connection is closed on exit."""
    route = endpoint.route(model)
    target = Target.parse(route.base_url)
    context = ssl.create_default_context() if target.tls else None
    kind = http.client.HTTPSConnection if target.tls else http.client.HTTPConnection
    more: dict[str, Any] = {"context": context} if context else {}
    raw = body if isinstance(body, bytes) else json.dumps({"model": route.model, **body}).encode()
    with closing(kind(target.host, target.port, timeout=TIMEOUT_S, **more)) as connection:
        all_headers = {"Content-Type": "application/json", **endpoint.headers, **headers}
        connection.request("POST", f"{target.prefix}/v1/completions", raw, all_headers)
        response = connection.getresponse()
        with closing(response):
            yield response


def stream_body(tokens: int, **more: Any) -> dict[str, Any]:
    """Body of a greedy streaming request for exactly ``tokens`` tokens, as in the load."""
    return {
        "prompt": list(PROMPT),
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "temperature": 0,
        "seed": 0,
        **more,
    }


def complete(
    endpoint: Endpoint, model: str, tokens: int, request_id: str = "", **more: Any
) -> Reply:
    """Send a request and read the whole response."""
    headers = {"X-Request-Id": request_id} if request_id else {}
    answer, parser = Answer(), EventParser()
    with sending(endpoint, model, stream_body(tokens, **more), **headers) as response:
        while chunk := response.read1(_READ_BYTES):
            now_ns = time.monotonic_ns()
            for event in parser.feed(chunk) if response.status == 200 else ():
                answer.take(event, now_ns)
        return Reply(response.status, response.getheader("Content-Type") or "", answer)
