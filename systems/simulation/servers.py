"""The part of a profile that servers need: what is kept up and batches across adapters."""

from __future__ import annotations

from .number import Frozen, Number


class Servers(Frozen):
    """Of this suite's engine in a replica that has its device, or all cores, to itself, where it
    stores weights in one dtype. None: as in an instance of a function."""

    prefill_s: Number | None = None
    prefill_request_s: Number | None = None
    prefill_token_s_per_gparam: Number | None = None
    decode_s: Number | None = None
    decode_request_s: Number | None = None

    adapter_share: Number
    """What each adapter in a batch beyond the first adds, as a part of the batch's time."""
    merged_share: Number
    """A batch with its one adapter merged, as a part of the same unmerged."""
    switch_steps: Number
    """Merging an adapter, or taking it out again, in decode steps of one request."""
    process_bytes: Number
    """Of a server with one replica, where devices count it: beside weights, adapters, keys and
    values."""
