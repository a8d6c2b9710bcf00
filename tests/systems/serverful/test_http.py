"""What a server answers to other questions than completions is read within bounds."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from systems.errors import DeploymentError
from systems.serverful import http as ours


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


@pytest.fixture
def endless() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_answer_without_end_is_refused(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MOST_BYTES", 1 << 20)
    with pytest.raises(
        DeploymentError, match=r"^http://[^ ]*/metrics: an answer of more than 1 MiB"
    ):
        ours.fetch(f"{endless}/metrics")
    assert ours.get(f"{endless}/metrics") is None
