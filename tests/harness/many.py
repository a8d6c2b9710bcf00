"""Randomly drawn records of many requests, for tests that need more than a few."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from harness.records.schema import REQUESTS, SPANS
from workloads.streams import stream

STAGES = ("queue", "adapter", "prefill", "decode")
MS = 1_000_000


def many_requests(count: int, seed: int = 0, slower: float = 1.0) -> pa.Table:
    """Draw requests in bursts of eight; the requests of a burst share a TTFT level. ``slower``
    multiplies all TTFTs. The same seed gives the same schedule."""
    random = stream(seed, "many requests")
    due = np.cumsum(random.exponential(2 * MS, count)).astype(np.int64)
    level = random.lognormal(0.0, 0.7, count // 8 + 1).repeat(8)[:count]
    sent = due + random.integers(0, MS, count)
    first = sent + (slower * level * random.uniform(40, 60, count) * MS).astype(np.int64)
    tokens = random.integers(2, 200, count)
    last = first + tokens * 20 * MS
    ids = [f"f{index}" for index in range(64)]
    function = pa.DictionaryArray.from_arrays(random.integers(0, 64, count), ids).cast(pa.string())
    numbers = {
        "request_id": np.arange(count), "scheduled_ns": due, "sent_ns": sent,
        "first_byte_ns": first, "first_token_ns": first, "last_token_ns": last,
        "prompt_tokens": tokens, "output_tokens": tokens, "wanted_output_tokens": tokens,
        "slo_ttft_ns": np.full(count, 100 * MS), "batch_size": np.ones(count),
        "received_ns": sent, "responded_ns": last, "end_ns": last,
    }  # fmt: skip
    words = {"function_id": function, "adapter_id": function, "instance_id": function}
    same = {"backbone": "tiny", "status": "ok", "start_type": "hot", "error": None}
    columns = [
        pa.array(numbers[field.name]).cast(field.type) if field.name in numbers
        else words[field.name] if field.name in words
        else pa.repeat(pa.scalar(same[field.name], field.type), count) if field.name in same
        else pa.nulls(count, field.type)
        for field in REQUESTS
    ]  # fmt: skip
    return pa.table(columns, schema=REQUESTS)


def spans_of(requests: pa.Table) -> pa.Table:
    """Make four consecutive stages per request, from its send to its last token."""
    sent, last = (requests[name].to_numpy() for name in ("sent_ns", "last_token_ns"))
    marks = sent[:, None] + (last - sent)[:, None] * np.arange(5) // 4
    count = len(sent)
    stages = pa.DictionaryArray.from_arrays(np.tile(np.arange(4), count), list(STAGES))
    columns = [
        np.repeat(np.arange(count), 4),
        stages.cast(pa.string()),
        marks[:, :-1].ravel(),
        marks[:, 1:].ravel(),
    ]
    return pa.table(columns, schema=SPANS)
