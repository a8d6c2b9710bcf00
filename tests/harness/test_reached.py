"""``slbench systems check --url``: errors for servers that cannot be checked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from harness.conformance.subjects import reached
from harness.errors import HarnessError
from harness.replay.free_port import free_port
from systems.errors import UnreachableError
from systems.openai_endpoint import Options

ANSWERS = {
    "/keyed/v1/models": (401, b"no"),
    "/empty/v1/models": (200, b'{"data": []}'),
    "/page/v1/models": (200, b"<html>"),
    "/ours/v1/models": (200, b'{"data": [{"id": "b"}, {"id": "a"}]}'),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS.get(self.path, (404, b""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_port_where_nothing_listens_is_said_to_answer_nothing() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match=r"no HTTP server answers.*refused"):
        reached(dead, [], None)


@pytest.mark.parametrize("text", ["localhost:8000", "127.0.0.1:8000", "ftp://host", "http://"])
def test_what_is_no_url_is_refused_with_models_named_and_without(text: str) -> None:
    for models in ([], ["a"]):
        with pytest.raises(HarnessError, match="write http://host:port"):
            reached(text, models, None)
    with pytest.raises(ValidationError, match="write http://host:port"):
        Options(url=text)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("keyed", r"HTTP 401.*--api-key-env"),
        ("nothing", r"HTTP 404.*--model"),
        ("page", r"not a list of models.*--model"),
        ("empty", r"lists no models; name them with --model"),
    ],
)
def test_a_server_that_lists_nothing_is_told_by_what_it_answers(
    path: str, why: str, url: str
) -> None:
    with pytest.raises(HarnessError, match=why):
        reached(f"{url}/{path}", [], None)


def test_the_models_that_are_listed_are_taken(url: str) -> None:
    assert reached(f"{url}/ours/v1", [], None).options["models"] == ("a", "b")
