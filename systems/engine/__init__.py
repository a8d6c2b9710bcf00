"""Runs a Llama with an unmerged adapter: plain tensors in, token ids out.

transformers and peft are the formats and the oracle; what runs is ours. Weights are views of one
flat buffer and are never written, so that many processes can share the same pages.
"""
