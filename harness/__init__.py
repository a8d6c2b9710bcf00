"""Measurements of serverless LoRA serving, from Python: run experiments, read their records as
DataFrames, compare runs (docs/python.md). ``harness.api`` has the definitions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import CapacityData, RunData, compare, load_capacity, load_run, run

__all__ = ["CapacityData", "RunData", "compare", "load_capacity", "load_run", "run"]


def __getattr__(name: str) -> Any:
    """Import the API on its first use: the command line needs a fast ``import harness``."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".api", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
