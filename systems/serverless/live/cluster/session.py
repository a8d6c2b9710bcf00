"""Ends all processes of a session, whatever their parent is now.

Ray's agents outlive a killed driver; the session still identifies all descendants of its leader.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

_GRACE_S = 3.0


def end_session(leader: int) -> None:
    """Kill all processes of the session of ``leader`` after a grace period, except the caller."""
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
