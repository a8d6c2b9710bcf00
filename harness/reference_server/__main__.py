"""``python -m harness.reference_server PORT [PARENT]``: serves until it, or PARENT, ends. Port 0
selects a free one. Prints the port once it listens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import sys

from ..replay.process import end_with_parent, run_promptly
from .server import serve


def _announce(port: int) -> None:
    print(port, flush=True)
    # A garbage collection would delay this server, and the client would seem late.
    gc.collect()
    gc.freeze()
    gc.disable()


def main() -> None:
    if len(sys.argv) > 2:
        end_with_parent(int(sys.argv[2]))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_promptly()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve("127.0.0.1", port, _announce))


if __name__ == "__main__":
    main()
