"""Mooncake traces (Qin et al., "Mooncake: Trading More Storage for Less Computation", FAST 2025):
JSON lines with ``timestamp`` (ms), ``input_length``, ``output_length`` and ``hash_ids``, one id per
block of 512 prompt tokens.

Timestamps of the conversation trace are 3 s apart, with about ten calls each: they are spread by a
named rule. A file is one function.
"""

from __future__ import annotations

from pathlib import Path

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .files import first_object, stem
from .jsonl_rows import Object, hashes, read_jsonl, time_ns, whole

_KEYS = {"timestamp", "input_length", "output_length", "hash_ids"}
_MILLISECOND_NS = 1_000_000
_BLOCK_TOKENS = 512

FORMAT = Format(
    name="mooncake",
    source="Mooncake FAST'25 traces, github.com/kvcache-ai/Mooncake",
    licence="Apache-2.0",
    attribution="Moonshot AI; Qin et al., FAST 2025",
    clock="milliseconds from the trace's start",
    resolution_ns=_MILLISECOND_NS,
)


def sniff(_path: Path, head: bytes) -> bool:
    found = first_object(head)
    return found.keys() >= _KEYS and "chat_id" not in found


def read(path: Path, options: Options) -> Workload:
    function = stem(path)

    def parse(row: Object, _line: int) -> Object:
        return {
            "at_ns": time_ns(row, "timestamp", _MILLISECOND_NS),
            "function": function,
            "prompt_tokens": whole(row, "input_length"),
            "output_tokens": whole(row, "output_length"),
            "prefix_hashes": hashes(row, "hash_ids"),
        }

    rows, bad = read_jsonl(path, parse)
    return assemble(FORMAT, options, rows, bad, quantised=True, block_tokens=_BLOCK_TOKENS)
