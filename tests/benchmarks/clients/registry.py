"""The compared clients. Each peer has its own environment, made by ``make bench-client``; a peer
without one is reported as missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .aiperf import AIPERF
from .client import Client, Load, Timed
from .guidellm import GUIDELLM
from .inference_perf import INFERENCE_PERF
from .vllm_bench import VLLM_BENCH

_HERE = Path(sys.executable)


def _module(name: str) -> Client:
    """Make a client from a program of this package; all take the same arguments."""

    def command(load: Load, folder: Path) -> Sequence[str]:
        numbers = (load.rate_rps, load.requests, load.prompt_tokens, load.tokens)
        module = f"{__package__}.{name}"
        return [str(_HERE), "-m", module, load.base_url, load.model, *map(str, numbers)]

    def read(folder: Path) -> list[Timed]:
        return [Timed(*one) for one in json.loads((folder / "timed.json").read_text())]

    return Client(name, _HERE, command, read)


CLIENTS = (
    _module("ours"),
    _module("plain_locust"),
    AIPERF,
    GUIDELLM,
    INFERENCE_PERF,
    VLLM_BENCH,
)
