"""Extracts a Llama's configuration and weights from a GGUF file, which is read once (transformers
reads it again for configuration, tokenizer and weights; parsing the vocabulary takes long)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

_CONFIG = {
    "vocab_size": "llama.vocab_size",
    "hidden_size": "llama.embedding_length",
    "intermediate_size": "llama.feed_forward_length",
    "num_hidden_layers": "llama.block_count",
    "num_attention_heads": "llama.attention.head_count",
    "num_key_value_heads": "llama.attention.head_count_kv",
    "head_dim": "llama.rope.dimension_count",
    "max_position_embeddings": "llama.context_length",
    "rms_norm_eps": "llama.attention.layer_norm_rms_epsilon",
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "unk_token_id": "tokenizer.ggml.unknown_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}
_OUTSIDE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def config_fields(reader: Any) -> dict[str, Any]:
    """Return the arguments of ``LlamaConfig``; ``reader`` is a ``gguf.GGUFReader``."""
    found = {ours: _value(reader, theirs) for ours, theirs in _CONFIG.items()}
    return {
        **found,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": _value(reader, "llama.rope.freq_base"),
        },
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
    }


def state_dict(reader: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the weights by their Hugging Face names, with quantized blocks unpacked."""
    return dict(_weights(reader, dtype))


def _weights(reader: Any, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    import torch
    from gguf.quants import dequantize

    heads = {
        "attn_q": _value(reader, "llama.attention.head_count"),
        "attn_k": _value(reader, "llama.attention.head_count_kv"),
    }
    for tensor in reader.tensors:
        name, kind = _hf_name(tensor.name)
        values = np.array(dequantize(tensor.data, tensor.tensor_type))
        if kind in heads:
            values = _halves(values, heads[kind])
        yield name, torch.from_numpy(values).to(dtype)


def _hf_name(name: str) -> tuple[str, str]:
    """Return the Hugging Face name of a tensor and the kind of projection."""
    *layer, kind, suffix = name.split(".")
    if layer:
        return f"model.layers.{layer[1]}.{_LAYER[kind]}.{suffix}", kind
    return f"{_OUTSIDE[kind]}.{suffix}", kind


def _halves(values: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Reorder rows for rotary embedding: GGUF interleaves the two halves that it rotates; Hugging
    Face stores one half after the other."""
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))


def _value(reader: Any, name: str) -> Any:
    return reader.get_field(name).contents()
