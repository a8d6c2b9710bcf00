"""What is left of a run that ends early: its finished cells, or nothing."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import InterruptedRunError

if TYPE_CHECKING:
    from ..records import Run

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def keeping(make: Callable[[], Run]) -> Iterator[Run]:
    """The run that ``make`` makes or opens. Its folder is removed where it ends without a finished
    cell. ``InterruptedRunError``, in place of an interrupt or an ``OSError``, says what is kept and
    how it goes on."""
    record: Run | None = None
    try:
        with _interrupts_held():
            record = make()
        yield record
    except (KeyboardInterrupt, OSError) as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise InterruptedRunError(f"{why}; {_left_of(record)}") from error
    except BaseException:
        _left_of(record)
        raise


def _left_of(record: Run | None) -> str:
    """What is kept, in words, once a folder without cells is removed."""
    cells = len(record.cells()) if record is not None else 0
    if record is not None and cells:
        name = record.experiment["name"]
        return f"{cells} cells are kept; slbench run {name} --resume {record.path} runs the others"
    if record is not None:
        with _interrupts_held():
            shutil.rmtree(record.path, ignore_errors=True)
    return "no cell was finished, and no folder is kept"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Interrupts come once the block is done: between making a folder and knowing of it, or while
    it is removed, one would leave it behind. An ignored signal stays ignored."""
    held: list[int] = []
    heard = [number for number in _INTERRUPTS if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda got, _: held.append(got)) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt
