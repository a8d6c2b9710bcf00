"""Records a real vLLM into ``recorded/``: ``python -m tests.systems.serverful.record``, a minute or
two, where ``make vllm`` has been.

Every file of it is what came over the wire, status line and headers included, or what it wrote into
its log; metrics are left at those that the suite reads. ``dying.http`` is a stream whose engine
process is killed after a few tokens.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.serverful.http import served_models
from systems.serverful.process import ServerProcess
from systems.serverful.system import ServerPlan
from systems.vllm import Vllm

RECORDED = Path(__file__).parent / "recorded"
KEPT_METRICS = ("num_requests_running", "time_to_first_token_seconds")
START_S, ENDING_S = 300.0, 3.0


def deployment(max_context_tokens: int) -> Deployment:
    model = ensure_backbone("smollm2-135m")
    adapters = ensure_adapters(model, ["f0", "f1"], rank=8)
    return Deployment(
        functions=tuple(
            Function(id=name, backbone="smollm2-135m", adapter=path)
            for name, path in adapters.items()
        ),
        backbones={"smollm2-135m": model},
        devices=(Device(name="cpu:0", memory_bytes=2 << 30),),
        limits=Limits(max_batch_size=4, max_context_tokens=max_context_tokens),
    )


def started(plan: ServerPlan, folder: Path) -> ServerProcess:
    server = ServerProcess(plan.name, plan.command, plan.environment, folder / "log")
    server.wait_until(lambda: bool(served_models(plan.base_url)), START_S)
    return server


def exchange(
    plan: ServerPlan, head: str, body: Any, act: Callable[[], None] | None = None
) -> bytes:
    """One request and all bytes of its answer; ``act`` once the third event of it has come."""
    host, _, port = plan.base_url.removeprefix("http://").partition(":")
    content = json.dumps(body).encode() if body else b""
    lines = (
        f"{head} HTTP/1.1", f"Host: {host}:{port}", "Content-Type: application/json",
        f"Content-Length: {len(content)}", "Connection: close", "", "",
    )  # fmt: skip
    found = b""
    with socket.create_connection((host, int(port)), timeout=60) as stream:
        stream.sendall("\r\n".join(lines).encode() + content)
        while part := stream.recv(65536):
            found += part
            if act is not None and found.count(b"data: ") >= 3:
                act()
                act = None
    return found


def completion(model: str, tokens: int) -> dict[str, Any]:
    return {
        "model": model, "prompt": [1, 2, 3], "max_tokens": tokens, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True,
    }  # fmt: skip


def metrics(answer: bytes) -> bytes:
    """Those kept, under the status line and headers as they came."""
    lines = [
        line
        for line in answer.partition(b"\r\n\r\n")[2].decode().splitlines(keepends=True)
        if any(f"vllm:{name}" in line for name in KEPT_METRICS) and "_created" not in line
    ]
    return with_body(answer, "".join(lines).encode())


def named(answer: bytes) -> bytes:
    """Models by their names, not by where they lay."""
    body = answer.partition(b"\r\n\r\n")[2]
    return with_body(answer, re.sub(rb'"root":"/[^"]*/', b'"root":"', body))


def with_body(answer: bytes, body: bytes) -> bytes:
    head = answer.partition(b"\r\n\r\n")[0]
    head = re.sub(rb"(?i)content-length: \d+", b"content-length: %d" % len(body), head)
    return head + b"\r\n\r\n" + body


def kill_engine(server: ServerProcess) -> None:
    """The process in which vLLM computes, below the one that answers."""
    for each in server.family():
        if each.pid != server.pid and "EngineCore" in " ".join(each.cmdline()):
            each.kill()


def record_a_life(plan: ServerPlan, folder: Path) -> None:
    server = started(plan, folder)
    post = "POST /v1/completions"
    keep("models.http", named(exchange(plan, "GET /v1/models", None)))
    keep("metrics-before.http", metrics(exchange(plan, "GET /metrics", None)))
    keep("stream.http", exchange(plan, post, completion("f0", 4)))
    keep("metrics-after.http", metrics(exchange(plan, "GET /metrics", None)))
    keep("not-found.http", exchange(plan, post, completion("nobody", 4)))
    keep("dying.http", exchange(plan, post, completion("f0", 300), lambda: kill_engine(server)))
    time.sleep(ENDING_S)
    keep("dying.log", _tail(folder / "log"))
    print("after its engine was killed:", server.ended())
    server.stop()


def record_a_failure(plan: ServerPlan, folder: Path) -> None:
    """A context longer than the model's."""
    with (folder / "log").open("wb") as out:
        environment = {**dict(plan.environment), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            plan.command, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    keep("failing.log", _tail(folder / "log"))
    print("status of the one that did not start:", done.returncode)


def _tail(log: Path) -> bytes:
    """Its last lines, models by their names."""
    text = log.read_text(errors="replace")
    text = re.sub(r"/\S*/(smollm2-135m|f\d)\b", r"\1", text)
    text = re.sub(r"/\S*/(?:site-packages|lib/python[\d.]+)/", "", text)
    return "".join(text.splitlines(keepends=True)[-40:]).encode()


def keep(name: str, content: bytes) -> None:
    (RECORDED / name).write_bytes(content)


def main() -> None:
    for record, tokens in ((record_a_life, 512), (record_a_failure, 1_000_000)):
        with tempfile.TemporaryDirectory() as folder:
            (plan,) = Vllm().servers(deployment(tokens))
            record(plan, Path(folder))


if __name__ == "__main__":
    main()
