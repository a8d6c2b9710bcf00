"""GuideLLM of the vLLM project."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .client import ENVIRONMENTS, Client, Load, Timed

_PROGRAM = ENVIRONMENTS / "guidellm/bin/guidellm"


def _command(load: Load, folder: Path) -> Sequence[str]:
    backend = f"kind=openai_http,target={load.base_url},model={load.model}"
    return [
        str(_PROGRAM),
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


def _read(folder: Path) -> list[Timed]:
    (benchmark,) = json.loads((folder / "out.json").read_text())["benchmarks"]
    return [
        Timed(one["request_start_time"], one["time_to_first_token_ms"])
        for one in benchmark["requests"]["successful"]
    ]


GUIDELLM = Client("guidellm", _PROGRAM, _command, _read)
