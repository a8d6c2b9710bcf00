"""The decoder architectures that the engine runs: a file each, and a line in :mod:`.registry`.

All are Llamas (RMS norms, rotary embeddings, grouped queries, gated feed-forward) that differ in
what :class:`~.architecture.Architecture` declares. Imports no torch.
"""
