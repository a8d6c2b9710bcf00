"""inference-perf of the Kubernetes project. Its constant rate has random gaps, so it replays a
trace of the grid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from .client import ENVIRONMENTS, Client, Load, Timed

_PROGRAM = ENVIRONMENTS / "inference-perf/bin/inference-perf"
_IN_FLIGHT = 2000
"""For each worker; its default of 100 would hold requests back."""


def _command(load: Load, folder: Path) -> Sequence[str]:
    trace = {"file": str(_trace(load, folder)), "format": "AzurePublicDataset"}
    fields = {"request": False, "response": False, "response_chunks": False, "info": False}
    reported = {"per_request": True, "per_request_fields": {**fields, "computed_metrics": True}}
    config = {
        "api": {"type": "completion", "streaming": True},
        "data": {"type": "random", "trace": trace},
        "load": {
            "type": "trace_replay",
            "trace": trace,
            "stages": [{"rate": load.rate_rps, "duration": load.requests // load.rate_rps}],
            "worker_max_concurrency": _IN_FLIGHT,
        },
        "server": {
            "type": "vllm",
            "base_url": load.base_url,
            "model_name": load.model,
            "ignore_eos": True,
        },
        "tokenizer": {"pretrained_model_name_or_path": str(load.tokenizer)},
        "report": {"request_lifecycle": reported},
        "storage": {"local_storage": {"path": str(folder / "out")}},
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    return [str(_PROGRAM), "--config_file", str(folder / "config.yml")]


def _trace(load: Load, folder: Path) -> Path:
    """Write the grid as a trace in the format of Azure's LLM traces."""
    start, path = datetime(2026, 1, 1), folder / "trace.csv"
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for number in range(load.requests):
        at = start + timedelta(microseconds=round(number * 1e6 / load.rate_rps))
        lines.append(f"{at:%Y-%m-%d %H:%M:%S.%f},{load.prompt_tokens},{load.tokens}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _read(folder: Path) -> list[Timed]:
    found = json.loads((folder / "out" / "per_request_lifecycle_metrics.json").read_text())
    return [
        Timed(one["start_time"], one["computed_metrics"]["time_to_first_token"] * 1e3)
        for one in found
    ]


INFERENCE_PERF = Client("inference-perf", _PROGRAM, _command, _read)
