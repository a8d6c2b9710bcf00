"""The engine on a CUDA device: fp16 throughout, replayed as graphs, adapters in fixed slots.

Everything but graphs and the Triton kernels is plain torch and runs on any device, so that it is
tested, in float32 on the CPU, against the CPU engine and against transformers and peft.
"""
