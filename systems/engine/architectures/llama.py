"""Llama 2 and 3, and what is saved as one (SmolLM2, for example)."""

from .architecture import Architecture

LLAMA = Architecture("llama", "LlamaForCausalLM")
