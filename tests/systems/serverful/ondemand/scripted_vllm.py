"""``vllm serve`` with sleep mode as a script: takes its arguments, answers like the reference
server (an adapter's name chooses the behaviour), and sleeps and wakes by the three endpoints.

It prints VIOLATION if it is used as vLLM must not be: asked while it is not awake, put to sleep
amid a stream, or asked to sleep or wake when it does so already. A file in the folder
``SCRIPTED_FAULTS`` makes the request of that name fail, once: ``wake_up``, ``sleep``,
``is_sleeping``; ``start`` ends it at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from harness.reference_server import wire
from harness.reference_server.server import Connection, Entry

AWAKE_BYTES, ASLEEP_BYTES = 3 << 30, 1 << 30
START_S = float(os.environ.get("START_S", "0"))
SLEEP_S, WAKE_S = float(os.environ.get("SLEEP_S", "0.1")), float(os.environ.get("WAKE_S", "0.2"))


def say(text: str) -> None:
    print(time.monotonic_ns(), text, flush=True)


def fault(name: str) -> bool:
    path = Path(os.environ["SCRIPTED_FAULTS"]) / name
    path.unlink() if (there := path.exists()) else None
    return there


class Vllm:
    """The state that the connections of a server share."""

    def __init__(self, models: list[str]) -> None:
        self.models = models
        self.log: list[Entry] = []
        self.streams: set[Connection] = set()
        self.be("awake", AWAKE_BYTES)

    def be(self, state: str, held: int) -> None:
        self.state = state
        place = Path(os.environ["SCRIPTED_CARD"]) / str(os.getpid())
        new = place.with_name(f".{place.name}")
        new.write_text(str(held))
        new.rename(place)
        say(state)

    async def change(self, path: str) -> int:
        """Carry ``sleep`` or ``wake_up`` out; return the HTTP status."""
        say(path)
        before, during, after, took_s, held = {
            "sleep": ("awake", "falling asleep", "asleep", SLEEP_S, ASLEEP_BYTES),
            "wake_up": ("asleep", "waking", "awake", WAKE_S, AWAKE_BYTES),
        }[path]
        if self.state != before or self.streams:
            say(f"VIOLATION: {path} while {self.state} with {len(self.streams)} streams")
        self.state = during
        await asyncio.sleep(took_s)
        if fault(path):
            return 500
        self.be(after, held)
        return 200


class SleepyConnection(Connection):
    def __init__(self, vllm: Vllm) -> None:
        self._vllm = vllm
        super().__init__(vllm.log)

    def _reset(self) -> None:
        self._vllm.streams.discard(self)
        super()._reset()

    def connection_lost(self, exc: Exception | None) -> None:
        self._vllm.streams.discard(self)
        super().connection_lost(exc)

    def on_message_complete(self) -> None:
        path = self._url.partition(b"?")[0].decode().strip("/")
        if path == "v1/models":
            self._say(200, {"data": [{"id": name} for name in self._vllm.models]})
        elif path == "is_sleeping":
            said = self._vllm.state == "asleep" and not fault(path)
            self._say(200, {"is_sleeping": said})
        elif path in ("sleep", "wake_up"):
            changing = asyncio.ensure_future(self._vllm.change(path))
            changing.add_done_callback(lambda done: self._say(done.result(), {}))
        else:
            self._complete()

    def _complete(self) -> None:
        if self._vllm.state != "awake":
            say(f"VIOLATION: a call while {self._vllm.state}")
        say("call")
        self._vllm.streams.add(self)
        self._answer(self._transport)

    def _say(self, status: int, content: object) -> None:
        if self._transport is not None:
            self._transport.write(wire.whole(status, json.dumps(content).encode()))
        self._reset()


async def main() -> None:
    said = sys.argv
    if fault("start"):
        sys.exit("ValueError: No available memory for the cache blocks")
    await asyncio.sleep(START_S)
    assert "--enable-sleep-mode" in said
    assert os.environ["VLLM_SERVER_DEV_MODE"] == "1"
    adapters = said[said.index("--lora-modules") + 1 : said.index("--enable-sleep-mode")]
    names = [each.partition("=")[0] for each in adapters]
    vllm = Vllm([*names, said[said.index("--served-model-name") + 1]])
    say(" ".join(["arguments:", *said]))
    loop, port = asyncio.get_running_loop(), int(said[said.index("--port") + 1])
    server = await loop.create_server(lambda: SleepyConnection(vllm), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
