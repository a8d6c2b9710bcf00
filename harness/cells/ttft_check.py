"""The TTFT cross-check: compares the mean of a system that measures TTFT with the client's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE_S = 0.002
"""Allowed difference of the two means: transport on one host, parsing, and clock resolution."""


def disagreement(client: pa.Table, measured: Mapping[str, float]) -> Iterator[str]:
    """Yield a warning if the numbers of requests differ, or the means by more than ``TOLERANCE_S``.

    Both measure up to the first token: the client from its send, the system (``ttft_mean_s`` over
    ``ttft_n``) from when it received the request."""
    if "ttft_mean_s" not in measured:
        return
    rows = zip(client["first_token_ns"].to_pylist(), client["sent_ns"].to_pylist(), strict=True)
    ours = [(first - sent) / 1e9 for first, sent in rows if first is not None]
    n, theirs = int(measured["ttft_n"]), measured["ttft_mean_s"]
    if n != len(ours):
        yield f"TTFT: the client saw {len(ours)} first tokens, the system counted {n}"
    elif ours and abs(sum(ours) / n - theirs) > TOLERANCE_S:
        yield (
            f"TTFT: mean {sum(ours) / n * 1e3:.1f} ms by the client, {theirs * 1e3:.1f} ms by the"
            f" system's own count; more than {TOLERANCE_S * 1e3:g} ms apart"
        )
