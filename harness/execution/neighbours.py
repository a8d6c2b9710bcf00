"""Other live runs on this machine. Runs at once slow each other down, on cards of their own too: a
server that starts or ends can stop all cards of a host for a moment."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_WARNING = "another live run went on on this machine: times are of a machine that was shared"
Beside = Callable[[], bool]


@contextmanager
def told() -> Iterator[Callable[[], tuple[str, ...]]]:
    """Tell other live runs that share this cache (``SLBENCH_CACHE``) that one goes on here. The
    function that it yields returns a warning if another has since, or did before. Where files
    cannot be written or locked, nothing is told."""
    with ExitStack() as ends:
        try:
            beside = _told(ends)
        except OSError:
            beside = _unknown
        yield lambda: (_WARNING,) if beside() else ()


def _unknown() -> bool:
    return False


def _told(ends: ExitStack) -> Beside:
    """Each run has a file that it locks, and adds a byte to one that all share. The file is there
    before the byte, and the byte before others are looked for: so of two runs at least one sees the
    other's file, and one that has not sees its byte."""
    from systems.models import cache_root

    folder = cache_root() / "live"
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
    draft = folder / f".{mine.name}"
    lock = ends.enter_context(draft.open("wb"))
    ends.callback(_removed, draft)
    # Forks do not inherit this kind of lock, so that it ends with this process.
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    ends.callback(_removed, mine)
    draft.rename(mine)
    starts = ends.enter_context((folder / "starts").open("ab"))
    os.write(starts.fileno(), b".")
    begun = _size(starts.fileno())
    there = [each for each in folder.glob("[0-9]*") if each != mine and _held(each)]
    return lambda: bool(there) or _size(starts.fileno()) > begun


def _size(starts: int) -> int:
    return os.fstat(starts).st_size


def _held(path: Path) -> bool:
    """Return whether the run of this file goes on, if that can be told. What a run left that was
    killed is removed."""
    try:
        with path.open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _removed(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _removed(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
