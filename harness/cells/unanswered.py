"""What kept a system from answering, if it answered fewer than half of the requests: a device that
fails may look like a system that is overloaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def unanswered(client: pa.Table) -> Iterator[str]:
    """Yield a warning with the most frequent reason, as the client saw it."""
    columns = (client[name].to_pylist() for name in ("status", "error"))
    failed = Counter((s, error) for s, error in zip(*columns, strict=True) if s != "ok")
    if 2 * failed.total() > client.num_rows:
        ((status, error), count) = failed.most_common(1)[0]
        share = f"{failed.total()} of {client.num_rows}"
        yield f"{share} requests were not answered, {count} with: {error or status}"
