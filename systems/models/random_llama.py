"""Llamas of given shapes with seeded random weights, for tests and for machines that hold no
real one. Written shard by shard, so that 13 billion numbers never stand in memory at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

_SEED = 20250521
_LAYERS_PER_SHARD = 4


def make_tiny(target: Path) -> None:
    """A few million parameters, grouped-query attention, float32, with a byte-level tokenizer."""
    _make(
        target,
        dtype="float32",
        vocab_size=512,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )


def make_llama2_7b(target: Path) -> None:
    _make(
        target,
        dtype="float16",
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )


def make_llama2_13b(target: Path) -> None:
    _make(
        target,
        dtype="float16",
        vocab_size=32000,
        hidden_size=5120,
        intermediate_size=13824,
        num_hidden_layers=40,
        num_attention_heads=40,
        num_key_value_heads=40,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )


def _make(target: Path, *, dtype: str, **shape: Any) -> None:
    from transformers import LlamaConfig  # noqa: PLC0415

    config = LlamaConfig(
        **shape, dtype=dtype, bos_token_id=0, eos_token_id=1, rms_norm_eps=1e-5,
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(target)
    (target / "generation_config.json").write_text(json.dumps({"eos_token_id": 1}))
    _write_weights(target, dtype)
    _write_tokenizer(target, shape["vocab_size"])


def _write_weights(target: Path, dtype: str) -> None:
    from safetensors.torch import save_file  # noqa: PLC0415

    shapes = _shapes(target)
    weight_map: dict[str, str] = {}
    groups = groupby(shapes, key=_shard_of)
    for index, (_, names) in enumerate(groups):
        file = f"model-{index:05d}.safetensors"
        tensors = {name: _tensor(name, shape, dtype) for name, shape in names}
        save_file(tensors, target / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, file))
    index_file = {"metadata": {}, "weight_map": weight_map}
    (target / "model.safetensors.index.json").write_text(json.dumps(index_file))


def _shapes(target: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    from systems.engine.checkpoint import lay_out  # noqa: PLC0415
    from systems.engine.config import read_config  # noqa: PLC0415

    for slot in lay_out(read_config(target), "float32").slots:
        for part, rows in zip(slot.parts, slot.rows, strict=True):
            yield part, ((rows, slot.columns) if slot.columns else (rows,))


def _shard_of(item: tuple[str, tuple[int, ...]]) -> int:
    words = item[0].split(".")
    return 1 + int(words[2]) // _LAYERS_PER_SHARD if words[1] == "layers" else -len(words)


def _tensor(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Norms are ones; matrices are normal with Llama's own initial spread of 0.02, doubled so
    that a handful of layers tell prompts apart."""
    import torch  # noqa: PLC0415

    from workloads.streams import stream  # noqa: PLC0415

    kind = getattr(torch, dtype)
    if len(shape) == 1:
        return torch.ones(shape, dtype=kind)
    generator = torch.Generator().manual_seed(int(stream(_SEED, name).integers(2**62)))
    return torch.randn(shape, generator=generator).mul_(0.04).to(kind)


def _write_tokenizer(target: Path, vocabulary: int) -> None:
    """Bytes as tokens, after the two that begin and end a text; ids past them are spare."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<s>": 0, "</s>": 1, **{letter: 2 + i for i, letter in enumerate(letters)}}
    spare = {f"<{index}>": index for index in range(len(vocab), vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocab={**vocab, **spare}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
        chat_template="{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    )
    fast.save_pretrained(target)
