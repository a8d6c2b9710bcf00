"""Any OpenAI-compatible server in a run: what is seen is recorded, what is not is missing."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cells.ttft_check import disagreement
from harness.records import open_run
from harness.reference_server import running_reference_server
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function
from systems.openai_endpoint import OpenAIEndpoint
from systems.serverful.prometheus import total, ttft

KEY = "sk-very-secret"


def deployment(**options: Any) -> Deployment:
    return Deployment(
        functions=tuple(Function(id=each, backbone="b") for each in ("f0", "f1", "f2")),
        backbones={"b": Path()},
        devices=(Device(name="cpu:0", memory_bytes=1),),
        options=options,
    )


@pytest.fixture
def guarded() -> Iterator[tuple[str, list[str | None]]]:
    """A server that lists one model to clients with the key, and the keys that it received."""
    shown: list[str | None] = []

    class Guarded(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "theirs"}]}')

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", shown
    server.shutdown()
    server.server_close()


def test_a_key_goes_with_every_request_and_is_told_nobody(
    guarded: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    url, shown = guarded
    with OpenAIEndpoint() as system:
        endpoint = system.deploy(
            deployment(url=f"{url}/v1/", models=("theirs",), api_key_env="MY_KEY")
        )
        assert endpoint.headers["Authorization"] == f"Bearer {KEY}"
        assert {endpoint.route(f).model for f in ("f0", "f1", "f2")} == {"theirs"}
        assert set(shown) == {f"Bearer {KEY}"}
        assert KEY not in repr(endpoint) + repr(system.info()) + repr(system.system_trace())


def test_a_model_that_is_not_served_is_named(guarded: tuple[str, list[str | None]]) -> None:
    with pytest.raises(DeploymentError, match="does not serve 'f0'; it serves theirs"):
        OpenAIEndpoint().deploy(deployment(url=guarded[0]))


def test_a_server_may_list_other_names_than_it_is_asked_by(
    guarded: tuple[str, list[str | None]],
) -> None:
    asked = ("theirs:f0", "theirs:f1", "theirs:f2")
    with OpenAIEndpoint() as system:
        endpoint = system.deploy(deployment(url=guarded[0], models=asked, listed=("theirs",)))
        assert tuple(endpoint.route(f).model for f in ("f0", "f1", "f2")) == asked
    with pytest.raises(DeploymentError, match="does not serve"):
        OpenAIEndpoint().deploy(deployment(url=guarded[0], models=asked, listed=("other",)))


def test_any_server_is_run_by_command_environment_and_names(tmp_path: Path) -> None:
    command = f"{sys.executable} -m harness.reference_server {{port}}"
    names = ("ref.ttft-1", "ref.ttft-2", "ref.ttft-3")
    options = {"command": command, "environment": {"MY_SERVER_MODE": "fast"}, "models": names}
    with OpenAIEndpoint() as system:
        endpoint = system.deploy(deployment(**options))
        (pid,) = endpoint.pids
        assert b"MY_SERVER_MODE=fast\0" in Path(f"/proc/{pid}/environ").read_bytes()
        route = endpoint.route("f2")
        body = {"model": route.model, "prompt": [1, 2], "max_tokens": 3, "stream": True}
        asked = urllib.request.Request(
            f"{route.base_url}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked) as answer:
            assert answer.read().endswith(b"data: [DONE]\n\n")
        assert route.model == "ref.ttft-3"
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "url .* or command"),
        ({"url": "http://127.0.0.1:9", "command": "x"}, "url .* or command"),
        ({"url": "http://127.0.0.1:9", "api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ({"url": "http://127.0.0.1:9", "environment": {"A": "1"}}, "give command"),
        ({"command": "serve --port 8000"}, r"command has no \{port\}"),
    ],
)
def test_what_cannot_be_reached_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OpenAIEndpoint().check(deployment(**options))


def test_nobody_there_is_one_line() -> None:
    with pytest.raises(DeploymentError, match="no OpenAI-compatible server answers"):
        OpenAIEndpoint().deploy(deployment(url="http://127.0.0.1:9"))


@pytest.mark.live
def test_a_run_by_url_records_latency_and_leaves_out_what_is_not_seen(tmp_path: Path) -> None:
    with running_reference_server() as server:
        options = {"url": server.base_url, "models": ["ref", "ref.ttft-30", "other"]}
        content = {
            "systems": [{"name": "openai-endpoint", "options": options}],
            "workloads": [
                {
                    "name": "time-breakdown",
                    "overrides": {"time_scale": 60, "prompt_tokens": 8, "output_tokens": 3},
                }
            ],
            "deployment": {"backbone": "tiny", "device_memory_gib": 1},
            "lateness_budget_s": 0.5,
            "figures": [],
        }
        experiment = tmp_path / "theirs.yaml"
        experiment.write_text(json.dumps(content))
        command = [sys.executable, "-m", "harness", "run", str(experiment), "--json"]
        done = subprocess.run(
            [*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120
        )
        asked = {entry["model"] for entry in server.entries() if entry["model"]}
    assert done.returncode == 0, done.stderr
    assert asked == {"ref", "ref.ttft-30", "other"}, "each function under its name there"
    (cell,) = open_run(tmp_path / json.loads(done.stdout)["run_id"]).cells()
    assert set(cell.requests["status"]) == {"ok"}
    assert cell.requests["start_type"].isna().all()
    assert cell.table("spans").num_rows == cell.table("billing").num_rows == 0
    assert cell.summary["cost_usd"] is None


def test_sums_are_over_labels_and_the_mean_of_what_came_between() -> None:
    before = 'h_sum{a="1"} 2\nh_sum{a="2"} 1\nh_count{a="1"} 2\nh_sum_of_other 9\n'
    after = 'h_sum{a="1"} 3.5\nh_sum{a="2"} 1\nh_count{a="1"} 5\n'
    assert total(before, "h_sum") == 3
    assert ttft(before, after, "h") == {"ttft_mean_s": pytest.approx(0.5), "ttft_n": 3}
    assert ttft(after, after, "h") == {}


def test_timestamps_and_labels_with_braces_are_no_values() -> None:
    text = '# TYPE h histogram\nh_sum{model="a } b"} 2 1395066363000\nh_sum{model="c"} 1\n'
    assert total(text, "h_sum") == 3


@pytest.mark.parametrize(
    "text", ["<html>no</html>", '{"error": 1}', 'h_count{a="b" 3', "h_count x"]
)
def test_metrics_of_another_form_are_a_warning_and_no_number(text: str) -> None:
    system = OpenAIEndpoint()
    system.ttft_histogram = "h"
    measured, (warning,) = system._ttft({"server": text})
    assert measured == {}
    assert "not Prometheus'" in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    ("theirs_ms", "n", "words"), [(51.0, 2, ()), (53.0, 2, ("50.0 ms",)), (50.0, 3, ("counted 3",))]
)
def test_a_ttft_that_disagrees_is_said(theirs_ms: float, n: int, words: tuple[str, ...]) -> None:
    import pyarrow as pa

    client = pa.table(
        {"sent_ns": [0, 10_000_000, 5], "first_token_ns": [40_000_000, 70_000_000, None]}
    )
    said = list(disagreement(client, {"ttft_mean_s": theirs_ms / 1e3, "ttft_n": n}))
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True))


def test_a_stop_that_is_interrupted_while_it_looks_at_the_servers_ends_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(self: OpenAIEndpoint) -> None:
        raise KeyboardInterrupt

    ended = []
    system: Any = OpenAIEndpoint()
    system._folder, system._ready_ns = SimpleNamespace(path=tmp_path), 1
    system._servers = [(None, SimpleNamespace(stop=lambda: ended.append("vllm")))]
    monkeypatch.setattr(OpenAIEndpoint, "_seen", interrupt)
    with pytest.raises(KeyboardInterrupt):
        system.stop()
    assert ended == ["vllm"]
