"""What a server answers to other questions than completions is read within bounds."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from systems.errors import DeploymentError, UnreachableError
from systems.serverful import http as ours


class Cut(http.server.BaseHTTPRequestHandler):
    """Answers half of what it promises."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"half")

    def log_message(self, *_: object) -> None:
        pass


class Endless(http.server.BaseHTTPRequestHandler):
    """Answers zeros until nobody reads."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MOST_BYTES", 1 << 20)
    with serving(Endless) as url:
        with pytest.raises(DeploymentError, match=r"^http://.*: an answer of more than 1 MiB$"):
            ours.fetch(url)
        assert ours.get(url) is None


def test_an_answer_that_ends_too_early_is_none() -> None:
    with serving(Cut) as url, pytest.raises(UnreachableError, match="no HTTP server answers"):
        ours.fetch(url)
