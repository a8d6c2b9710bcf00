"""The compared clients. Each peer has its own environment under ``ROOT``, made by
``make bench-client``; a peer without one is reported as missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .client import Client, Load, Timed

ROOT = Path(".venv-clients").absolute()
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


def _aiperf(load: Load, folder: Path) -> Sequence[str]:
    return [
        str(AIPERF.program),
        "profile",
        *("--url", load.base_url, "--model", load.model, "--tokenizer", str(load.tokenizer)),
        *("--endpoint-type", "completions", "--streaming", "--ui", "none"),
        *("--arrival-pattern", "constant", "--request-rate", str(load.rate_rps)),
        *("--request-count", str(load.requests), "--isl", str(load.prompt_tokens)),
        *("--osl", str(load.tokens), "--extra-inputs", f"max_tokens:{load.tokens}"),
        *("--export-level", "records", "--output-artifact-dir", str(folder / "out")),
    ]


def _read_aiperf(folder: Path) -> list[Timed]:
    lines = (folder / "out" / "profile_export.jsonl").read_text().splitlines()
    return [
        Timed(
            one["metadata"]["request_start_ns"] / 1e9,
            one["metrics"]["time_to_first_token"]["value"],
        )
        for one in map(json.loads, lines)
    ]


def _guidellm(load: Load, folder: Path) -> Sequence[str]:
    backend = f"kind=openai_http,target={load.base_url},model={load.model}"
    return [
        str(GUIDELLM.program),
        "run",
        # The reference server has no /health endpoint for the validation.
        *("--backend", f"{backend},request_format=/v1/completions,validate_backend=false"),
        *("--profile", f"kind=constant,rate={load.rate_rps}"),
        *("--constraint", f"kind=max_requests,count={load.requests}"),
        *("--tokenizer", f"kind=huggingface_auto,model={load.tokenizer}"),
        "--data",
        f"kind=synthetic_text,prompt_tokens={load.prompt_tokens},output_tokens={load.tokens}",
        *("--output", f"kind=json,path={folder / 'out.json'}", "--disable-console"),
    ]


def _read_guidellm(folder: Path) -> list[Timed]:
    (benchmark,) = json.loads((folder / "out.json").read_text())["benchmarks"]
    return [
        Timed(one["request_start_time"], one["time_to_first_token_ms"])
        for one in benchmark["requests"]["successful"]
    ]


AIPERF = Client("aiperf", ROOT / "aiperf/bin/aiperf", _aiperf, _read_aiperf)
GUIDELLM = Client("guidellm", ROOT / "guidellm/bin/guidellm", _guidellm, _read_guidellm)

CLIENTS = (_module("ours"), _module("plain_locust"), AIPERF, GUIDELLM)
