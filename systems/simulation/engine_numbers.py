"""The parts of a profile for engines that batch across adapters."""

from __future__ import annotations

from .number import Curve, Frozen, Number


class EngineNumbers(Frozen):
    """Durations of batches. None: as for an instance of one function."""

    prefill_s: Number | None = None
    prefill_request_s: Number | None = None
    prefill_token_s_per_gparam: Number | None = None
    prefill_pass_s_per_gparam: Curve | None = None
    mixed_saved_s_per_gparam: Curve | None = None
    decode_s: Number | None = None
    decode_request_s: Number | None = None
    decode_rows_s: Curve | None = None


class Grouped(EngineNumbers):
    """Numbers of an instance that several functions share and that stores weights in one dtype. Its
    batches hold rows of several adapters; these durations are for one adapter."""

    adapter_share: Number
    """Additional time per adapter of a batch after the first, as a fraction of the batch's time."""
    parse_s: Number | None = None
    """Parsing an adapter into the layout that engines copy, once on a host, by one core. None: this
    takes no time beside copying it."""
    parse_bytes_per_s: Number | None = None
    """What this takes in addition, by the adapter's bytes; None: nothing."""
    adapter_s: Number | None = None
    """Copying a parsed adapter into a place, beside its bytes."""
    adapter_bytes_per_s: Number | None = None


class Servers(EngineNumbers):
    """Numbers of a replica that has its device, or all cores, to itself and stores weights in one
    dtype. None: as for an instance that several functions share."""

    merged_share: Number
    """Time of a batch with its only adapter merged, as a fraction of the unmerged time."""
    switch_steps: Number
    """Time to merge or unmerge an adapter, in decode steps of one request."""
    process_bytes: Number
    """Memory of a server with one replica, where devices count it; without weights, adapters, keys
    and values."""


class Graphs(Frozen):
    """Numbers of an engine that pads batches to a few shapes and replays each as a graph
    (``engine/cuda``). The first use of a shape loads its kernels, the second captures its graph."""

    first_s: Number
    """Additional time of the first use of a shape."""
    capture_s: Number
    """Additional time of the second."""
    prepare_s: Number
    """One call of the preparation in which an idle process goes through its shapes."""


class Beside(Frozen):
    """How work that is a long series of small launches shares a device with batches."""

    share: Number
    """What it takes of the device, in parts of what a batch takes."""
    waits: Number
    """How much longer it takes for each batch beside it, in parts of its time alone."""
