"""The Python API (docs/python.md): names of this package are stable, those below it are not."""

from .capacities import CapacityData, load_capacity
from .comparing import compare
from .run_data import RunData, load_run
from .running import run

__all__ = ["CapacityData", "RunData", "compare", "load_capacity", "load_run", "run"]
