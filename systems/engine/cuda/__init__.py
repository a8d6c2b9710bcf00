"""The engine on a CUDA device: fp16 throughout, steps replayed as CUDA graphs, adapters in slots.

Except for graphs and Triton kernels it is plain torch and runs on any device; tests compare it on
the CPU in float32 with the CPU engine and with transformers and peft.
"""
