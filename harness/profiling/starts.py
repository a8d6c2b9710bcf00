"""What the first calls of probes tell: processes, reading the backbone, the way to the client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .found import Found, as_number, distribution, median
from .frames import Frames

if TYPE_CHECKING:
    from systems.models.sizes import ModelSize


def processes(shared: Frames, forks: Sequence[int], private: Frames) -> dict[str, Found]:
    """``forks``: the requests of ``shared`` for which a process was forked."""
    new, of_forks = private.seconds("warming"), shared.seconds("warming", forks)
    mapped = shared.seconds("backbone", forks)
    return {
        "process_s": distribution(new, "warming of a process from nothing"),
        "fork_s": distribution(of_forks, "warming of a fork of the template"),
        "libraries_s": distribution(private.seconds("libraries"), "imports of a process"),
        "map_s": distribution(mapped, "backbone of a fork, shared"),
    }


def reading_s(shared: Frames, first: int) -> float:
    """``first``: the request of ``shared`` for which the backbone was read, and then mapped."""
    return min(shared.stage("backbone", [first]), key=lambda span: span.start_ns).seconds


def rates(reads_s: Sequence[float], private: Frames, size: ModelSize) -> dict[str, Found]:
    """``reads_s``: the times of reading the shared backbone, whose files are in the page cache."""
    read = median(reads_s, "shared backbone read from the page cache")
    bandwidth = size.weights_bytes / as_number(read)
    own = size.weights_bytes / alone_s(private)
    return {
        "tier_bytes_per_s": Found(bandwidth, read.source),
        "private_bytes_per_s": Found(own, "private backbone read from the page cache, median"),
    }


def alone_s(private: Frames) -> float:
    """Return the time to load a private copy."""
    return float(np.median(private.seconds("backbone")))


def transport(shared: Frames) -> dict[str, Found]:
    """Return the times between the client and the platform of all requests of ``shared``."""
    requests = shared.requests
    there = (requests["received_ns"] - requests["sent_ns"]).to_numpy() / 1e9
    prefill = shared.spans[shared.spans["stage"] == "prefill"].set_index("request_id")["end_ns"]
    seen = requests.set_index("request_id")["first_token_ns"]
    back = ((seen - prefill.reindex(seen.index)) / 1e9).to_numpy()
    return {
        "request_s": median(there, "client's send to the gateway's receipt"),
        "response_s": median(back, "first token generated to the client's receipt"),
    }
