"""Requests as the bytes that go on the wire, made before the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from .frames import Batch
from .schedule import Schedule
from .target import Target

_BATCH = 2000


def batches(
    schedule: Schedule, worker: int, workers: int, target: Target, headers: Mapping[str, str]
) -> Iterator[Batch]:
    """The share of one worker. About 7 bytes per prompt token are held until it is sent."""
    share = schedule.share(worker, workers)
    encoder = Encoder(target, headers)
    for first in range(0, len(share), _BATCH):
        table = share.table.slice(first, _BATCH)
        rows = range(worker + first * workers, len(schedule), workers)[: table.num_rows]
        requests = [encoder.encode(**row) for row in table.drop(["scheduled_ns"]).to_pylist()]
        yield Batch(list(rows), table["scheduled_ns"].to_pylist(), requests)


class Encoder:
    """To one target."""

    def __init__(self, target: Target, headers: Mapping[str, str]) -> None:
        lines = [
            f"POST {target.prefix}/v1/completions HTTP/1.1",
            f"Host: {target.host}:{target.port}",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._head = "".join(f"{line}\r\n" for line in lines)

    def encode(
        self, request_id: int, function_id: str, prompt_ids: list[int], output_tokens: int
    ) -> bytes:
        """Greedy, of exactly ``output_tokens``, streamed, with a usage record at the end."""
        body = json.dumps(
            {
                "model": function_id,
                "prompt": prompt_ids,
                "max_tokens": output_tokens,
                "stream": True,
                "stream_options": {"include_usage": True},
                "ignore_eos": True,
                "temperature": 0,
                "seed": request_id,
            },
            separators=(",", ":"),
        )
        # json.dumps writes ASCII: as many bytes as characters.
        length = f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        return f"{self._head}{length}{body}".encode()
