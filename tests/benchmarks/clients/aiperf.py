"""NVIDIA's AIPerf."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .client import ENVIRONMENTS, Client, Load, Timed

_PROGRAM = ENVIRONMENTS / "aiperf/bin/aiperf"


def _command(load: Load, folder: Path) -> Sequence[str]:
    return [
        str(_PROGRAM),
        "profile",
        *("--url", load.base_url, "--model", load.model, "--tokenizer", str(load.tokenizer)),
        *("--endpoint-type", "completions", "--streaming", "--ui", "none"),
        *("--arrival-pattern", "constant", "--request-rate", str(load.rate_rps)),
        *("--request-count", str(load.requests), "--isl", str(load.prompt_tokens)),
        *("--osl", str(load.tokens), "--extra-inputs", f"max_tokens:{load.tokens}"),
        *("--export-level", "records", "--output-artifact-dir", str(folder / "out")),
    ]


def _read(folder: Path) -> list[Timed]:
    lines = (folder / "out" / "profile_export.jsonl").read_text().splitlines()
    return [
        Timed(
            one["metadata"]["request_start_ns"] / 1e9,
            one["metrics"]["time_to_first_token"]["value"],
        )
        for one in map(json.loads, lines)
    ]


AIPERF = Client("aiperf", _PROGRAM, _command, _read)
