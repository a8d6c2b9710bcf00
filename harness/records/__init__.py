"""The record of a run: its schema, and the only code that reads and writes it."""

from .cell import Cell, place_cell, read_cell, write_cell
from .manifest import Manifest
from .run import Run, create_run, new_run, open_run

__all__ = [
    "Cell",
    "Manifest",
    "Run",
    "create_run",
    "new_run",
    "open_run",
    "place_cell",
    "read_cell",
    "write_cell",
]
