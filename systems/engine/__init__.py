"""Inference of decoders with an unmerged LoRA adapter on plain tensors; the output is token ids.

transformers and peft define the file formats and serve as the oracle; the forward pass is our own.
Weights are read-only views of one flat buffer, so many processes can share its pages.
"""
