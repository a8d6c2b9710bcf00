"""A replay that cannot start says why; a server that is not there; Locust's page."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from harness.errors import HarnessError
from harness.reference_server import ReferenceServer
from harness.replay import Progress, generator, replay
from harness.replay.free_port import free_port
from tests.harness.replay.test_client import schedule


def test_a_server_that_is_not_there_is_said_of_every_request(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    result = replay(schedule(["ref"] * 4), url, tmp_path, timeout_s=2)
    assert result.table["status"].to_pylist() == ["unsent"] * 4
    assert all(
        "cannot connect to 127.0.0.1" in error for error in result.table["error"].to_pylist()
    )
    assert not result.valid


def test_an_url_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="write http://host:port"):
        replay(schedule(["ref"]), "localhost:80", tmp_path / "out", timeout_s=1)
    assert not (tmp_path / "out").exists()


def test_a_load_generator_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no room for greenlets')"]
    monkeypatch.setattr(generator, "command", lambda *_: broken)
    with pytest.raises(HarnessError, match="did not start: no room for greenlets"):
        replay(schedule(["ref"] * 2), "http://127.0.0.1:9", tmp_path, timeout_s=1)


def test_a_page_on_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HarnessError, match=f"port {port} is in use"):
            replay(
                schedule(["ref"]),
                "http://127.0.0.1:9",
                tmp_path / "out",
                timeout_s=1,
                web_port=port,
            )
    assert not (tmp_path / "out").exists()


def test_locusts_page_shows_what_was_sent(server: ReferenceServer, tmp_path: Path) -> None:
    port, pages = free_port(), []

    def look(progress: Progress) -> None:
        if progress.done >= 20 and not pages:
            try:
                with urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=5) as page:
                    pages.append(json.load(page))
            except URLError as error:
                pages.append(error)

    plan = schedule(["ref.gap-2", "ref.fail-500"] * 50, 20)
    replay(plan, server.base_url, tmp_path, timeout_s=5, web_port=port, on_progress=look)
    rows = {row["name"]: row for row in pages[0]["stats"]}
    assert rows["ref.gap-2"]["num_failures"] == 0
    assert rows["ref.gap-2"]["num_requests"] >= 9
    assert rows["ref.fail-500"]["num_failures"] == rows["ref.fail-500"]["num_requests"] >= 9
