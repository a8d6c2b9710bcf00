"""The part of a profile for servers, which run permanently and batch across adapters."""

from __future__ import annotations

from .number import Frozen, Number


class Servers(Frozen):
    """Numbers of this suite's engine in a replica that has its device, or all cores, to itself and
    stores weights in one dtype. None: as for an instance of a function."""

    prefill_s: Number | None = None
    prefill_request_s: Number | None = None
    prefill_token_s_per_gparam: Number | None = None
    decode_s: Number | None = None
    decode_request_s: Number | None = None

    adapter_share: Number
    """Additional time per adapter of a batch after the first, as a fraction of the batch's time."""
    merged_share: Number
    """Time of a batch with its only adapter merged, as a fraction of the unmerged time."""
    switch_steps: Number
    """Time to merge or unmerge an adapter, in decode steps of one request."""
    process_bytes: Number
    """Memory of a server with one replica, where devices count it; without weights, adapters, keys
    and values."""
