"""Encodes requests as HTTP bytes before the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from .form import RequestForm
from .frames import Batch
from .schedule import Schedule
from .target import Router, Target

_BATCH = 2000


def batches(
    schedule: Schedule,
    worker: int,
    workers: int,
    router: Router,
    headers: Mapping[str, str],
    form: RequestForm,
) -> Iterator[Batch]:
    """Yield one worker's share. Uses about 7 bytes of memory per prompt token until it is sent."""
    share = schedule.share(worker, workers)
    encoders = [Encoder(Target.parse(url), headers, form) for url in router.base_urls]
    for first in range(0, len(share), _BATCH):
        table = share.table.slice(first, _BATCH)
        rows = range(worker + first * workers, len(schedule), workers)[: table.num_rows]
        servers, requests = [], []
        for row in table.drop(["scheduled_ns"]).to_pylist():
            server, model = router.route(row.pop("function_id"))
            servers.append(server)
            requests.append(encoders[server].encode(model=model, **row))
        yield Batch(list(rows), table["scheduled_ns"].to_pylist(), servers, requests)


class Encoder:
    """Encodes requests for one target."""

    def __init__(
        self, target: Target, headers: Mapping[str, str], form: RequestForm | None = None
    ) -> None:
        self._form = form or RequestForm()
        lines = [
            f"POST {target.prefix}{self._form.path} HTTP/1.1",
            f"Host: {target.host}:{target.port}",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._head = "".join(f"{line}\r\n" for line in lines)

    def encode(
        self,
        request_id: int,
        model: str,
        prompt_ids: list[int],
        output_tokens: int,
        prompt_text: str | None = None,
    ) -> bytes:
        """Encode a streamed greedy request for ``output_tokens``, with a final usage record."""
        body = json.dumps(
            {
                "model": model,
                **self._form.content(prompt_ids, prompt_text),
                "max_tokens": output_tokens,
                "stream": True,
                "stream_options": {"include_usage": True},
                "temperature": 0,
                "seed": request_id,
            },
            separators=(",", ":"),
        )
        # json.dumps writes ASCII, so characters are bytes.
        length = f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        return f"{self._head}{length}{body}".encode()
