"""Serves until it, or the process PARENT, ends. Prints the port once it listens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import resource
import signal

from ..replay.process import end_with_parent, run_promptly
from .server import serve


def _announce(port: int) -> None:
    print(port, flush=True)
    # A garbage collection would delay this server, and the client would seem late.
    gc.collect()
    gc.freeze()
    gc.disable()


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m harness.reference_server", description=__doc__)
    parser.add_argument("port", metavar="PORT", type=int, nargs="?", default=8000,
                        help="default: 8000; 0: any free one")  # fmt: skip
    parser.add_argument("parent", metavar="PARENT", type=int, nargs="?", help="a process id")
    return parser.parse_args()


def main() -> None:
    asked = _asked()
    if asked.parent is not None:
        end_with_parent(asked.parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_promptly()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve("127.0.0.1", asked.port, _announce))


if __name__ == "__main__":
    main()
