"""The end of everything in a session, whoever its parent became.

Ray's agents outlive a driver that is killed; what was started below a session's leader is found by
the session.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

_GRACE_S = 3.0


def end_session(leader: int) -> None:
    """Kill what is left of the session of ``leader`` after a moment, but not the caller."""
    left = _members(leader)
    _, alive = psutil.wait_procs(left, timeout=_GRACE_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=_GRACE_S)


def _members(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader and process.pid != os.getpid():
                found.append(process)
    return found
