"""What is to be known of requests without an answer, or whose answer took longer than a client
waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa


def unanswered(client: pa.Table) -> Iterator[str]:
    """Yield a warning with the most frequent reason, as the client saw it, if fewer than half were
    answered: a device that fails may look like a system that is overloaded."""
    columns = (client[name].to_pylist() for name in ("status", "error"))
    failed = Counter((s, error) for s, error in zip(*columns, strict=True) if s != "ok")
    if 2 * failed.total() > client.num_rows:
        ((status, error), count) = failed.most_common(1)[0]
        share = f"{failed.total()} of {client.num_rows}"
        yield f"{share} requests were not answered, {count} with: {error or status}"


def outlasting(client: pa.Table, timeout_s: float) -> Iterator[str]:
    """Yield a warning if answers of a simulation took longer than ``timeout_s``: its client waits
    for all, a live one gives them up, and they fail."""
    took_ns = pc.subtract(client["end_ns"], client["sent_ns"])
    longer = pc.sum(pc.greater(took_ns, round(timeout_s * 1e9))).as_py()
    if longer:
        yield (
            f"{longer} of {client.num_rows} requests took longer than request_timeout_s"
            f" ({timeout_s:g} s), after which a live client gives up; the simulated one waits"
        )
