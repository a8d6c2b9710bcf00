"""Where a system measures TTFT too, its mean is held against the client's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE_S = 0.002
"""Between two means of the same requests: transport on one host, parsing, and the clocks' steps."""


def disagreement(client: pa.Table, measured: Mapping[str, float]) -> Iterator[str]:
    """A line where the means, or the numbers of requests behind them, differ by more than they may.

    Both count from the request to the first token: the client from its send, the system
    (``ttft_mean_s`` over ``ttft_n``) from when it took the request in."""
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
