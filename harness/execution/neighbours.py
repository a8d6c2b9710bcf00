"""Other live runs on this machine. Runs at once slow each other down, on cards of their own too: a
server that starts or ends can stop all cards of a host for a moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_WARNING = "another live run went on on this machine: times are of a machine that was shared"


@contextmanager
def told() -> Iterator[Callable[[], tuple[str, ...]]]:
    """Tell other live runs that share this cache (``SLBENCH_CACHE``) that one goes on here. The
    function that it yields returns a warning if another has since, or did before."""
    from systems.models import cache_root

    folder = cache_root() / "live"
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / str(os.getpid())
    with (folder / "starts").open("ab") as starts, mine.open("wb") as lock:
        # Forks do not inherit this kind of lock, so that it ends with this process.
        fcntl.lockf(lock, fcntl.LOCK_EX)
        beside = _goes_on(folder, mine)
        os.write(starts.fileno(), b".")
        begun = _size(starts.fileno())
        try:
            yield lambda: (_WARNING,) if beside or _size(starts.fileno()) > begun else ()
        finally:
            mine.unlink(missing_ok=True)


def _size(starts: int) -> int:
    """Return how many live runs ever began: each adds a byte, so that none is missed."""
    return os.fstat(starts).st_size


def _goes_on(folder: Path, mine: Path) -> bool:
    """Return whether another run holds its lock. What a run left that was killed is removed."""
    return any(_held(each) for each in folder.glob("[0-9]*") if each != mine)


def _held(path: Path) -> bool:
    try:
        with path.open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
