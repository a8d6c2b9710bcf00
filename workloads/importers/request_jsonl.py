"""Requests of the benchmarks of S-LoRA and vLLM, one JSON object per line.

Fields are those of S-LoRA's ``Request`` (``req_time`` in seconds, ``prompt_len``, ``output_len``,
``adapter_dir``, ``model_dir``) or of vLLM's ``SampleRequest`` (``prompt_len``,
``expected_output_len``, ``lora_name``) with ``arrival_time`` in seconds. A function is an adapter;
without an adapter the model, and without a model the file.
"""

from __future__ import annotations

from pathlib import Path

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .files import first_object, stem
from .jsonl_rows import Object, read_jsonl, time_ns, whole, word
from .parse import SECOND_NS

_TIME = ("req_time", "arrival_time")
_PROMPT = ("prompt_len",)
_OUTPUT = ("output_len", "expected_output_len")
_FUNCTION = ("adapter_dir", "lora_name", "model_dir", "model")

FORMAT = Format(
    name="request-jsonl",
    source="requests of a benchmark of S-LoRA's or vLLM's kind",
    licence="",
    attribution="",
    clock="seconds from the trace's start",
    resolution_ns=1_000,
)


def sniff(_path: Path, head: bytes) -> bool:
    found = first_object(head)
    return all(any(key in found for key in keys) for keys in (_TIME, _PROMPT, _OUTPUT))


def read(path: Path, options: Options) -> Workload:
    file = stem(path)

    def parse(row: Object, _line: int) -> Object:
        function = _key(row, _FUNCTION)
        return {
            "at_ns": time_ns(row, _key(row, _TIME), SECOND_NS),
            "function": word(row, function) if row.get(function) is not None else file,
            "prompt_tokens": whole(row, _key(row, _PROMPT)),
            "output_tokens": whole(row, _key(row, _OUTPUT)),
        }

    rows, bad = read_jsonl(path, parse)
    return assemble(FORMAT, options, rows, bad)


def _key(row: Object, keys: tuple[str, ...]) -> str:
    """Return the first key with a value; the first of all if there is none."""
    return next((key for key in keys if row.get(key) is not None), keys[0])
