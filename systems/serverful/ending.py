"""How the process of a server ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from systems.errors import SystemsError


def exit_status(serve: Callable[[], object]) -> int:
    """Serve to the end and return the exit status. A ``SystemsError`` becomes the last line of the
    server's log, which the harness reports, and status 2."""
    try:
        serve()
    except SystemsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 2
    return 0
