"""Keeps the finished cells of a run that ends early, and removes a run without any."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import InterruptedRunError
from ..interrupts import NUMBERS, surfacing

if TYPE_CHECKING:
    from ..records import Cell


class Kept(Protocol):
    """A folder with cells: a run, or a search."""

    @property
    def path(self) -> Path: ...

    def cells(self) -> list[Cell]: ...


Record = TypeVar("Record", bound=Kept)


@contextmanager
def keeping(make: Callable[[], Record], command: str = "run") -> Iterator[Record]:
    """Yield the record that ``make`` creates or opens. If it ends without a finished cell, its
    folder is removed. An interrupt or an ``OSError`` is raised as ``InterruptedRunError``, which
    says what is kept, and that ``slbench COMMAND --resume`` runs the rest."""
    record: Record | None = None
    try:
        with _interrupts_held():
            record = make()
        with surfacing():
            yield record
    except (KeyboardInterrupt, OSError) as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise InterruptedRunError(f"{why}; {_left_of(record, command)}") from error
    except BaseException:
        _left_of(record, command)
        raise


def _left_of(record: Kept | None, command: str) -> str:
    """Remove a folder without cells, and describe what is kept."""
    cells = len(record.cells()) if record is not None else 0
    if record is not None and cells:
        kept = "1 cell is kept" if cells == 1 else f"{cells} cells are kept"
        return f"{kept}; slbench {command} --resume {record.path} runs the others"
    if record is not None:
        with _interrupts_held():
            shutil.rmtree(record.path, ignore_errors=True)
    return "no cell was finished, and no folder is kept"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Delay interrupts until the block is done. Between the creation of a folder and its
    assignment, or during its removal, an interrupt would leave the folder behind. An ignored signal
    stays ignored."""
    held: list[int] = []
    heard = [number for number in NUMBERS if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda got, _: held.append(got)) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt
