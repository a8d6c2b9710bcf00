"""Requests as the bytes that go on the wire, made before the run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .schedule import Schedule
from .target import Target


def encode(schedule: Schedule, target: Target, headers: Mapping[str, str]) -> list[bytes]:
    """A whole HTTP request per row. About 7 bytes per prompt token are held until it is sent."""
    head = _head(target, headers)
    columns = (schedule.table[name].to_pylist() for name in ("request_id", "function_id"))
    wanted = schedule.table["output_tokens"].to_pylist()
    models: dict[str, str] = {}
    requests = []
    for row, (request, function, count) in enumerate(zip(*columns, wanted, strict=True)):
        model = models.setdefault(function, json.dumps(function))
        prompt = str(schedule.table["prompt_ids"][row].as_py()).replace(" ", "")
        body = (
            f'{{"model":{model},"prompt":{prompt},"max_tokens":{count},"stream":true,'
            '"stream_options":{"include_usage":true},"ignore_eos":true,"temperature":0,'
            f'"seed":{request}}}'
        )
        requests.append(f"{head}X-Request-Id: {request}\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    return [request.encode() for request in requests]


def _head(target: Target, headers: Mapping[str, str]) -> str:
    lines = [
        f"POST {target.prefix}/v1/completions HTTP/1.1",
        f"Host: {target.host}:{target.port}",
        "Content-Type: application/json",
        "Accept: text/event-stream",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "".join(f"{line}\r\n" for line in lines)
