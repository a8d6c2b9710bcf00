"""vLLM's serving benchmark, ``vllm bench serve``, which imports the rest of vLLM: it runs in the
environment of ``make vllm``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .client import Client, Load, Timed

_PROGRAM = Path(".venv-vllm/bin/vllm").absolute()


def _command(load: Load, folder: Path) -> Sequence[str]:
    return [
        str(_PROGRAM),
        *("bench", "serve", "--backend", "openai", "--base-url", load.base_url),
        *("--model", load.model, "--tokenizer", str(load.tokenizer)),
        *("--dataset-name", "random", "--random-input-len", str(load.prompt_tokens)),
        *("--random-output-len", str(load.tokens), "--num-prompts", str(load.requests)),
        # Constant gaps, and no request before the measured ones.
        *("--request-rate", str(load.rate_rps), "--burstiness", "inf"),
        *("--ready-check-timeout-sec", "0", "--ignore-eos", "--disable-tqdm"),
        *("--save-result", "--save-detailed"),
        *("--result-dir", str(folder), "--result-filename", "out.json"),
    ]


def _read(folder: Path) -> list[Timed]:
    found = json.loads((folder / "out.json").read_text())
    pairs = zip(found["start_times"], found["ttfts"], strict=True)
    return [Timed(start_s, ttft_s * 1e3) for start_s, ttft_s in pairs]


VLLM_BENCH = Client("vllm bench serve", _PROGRAM, _command, _read)
