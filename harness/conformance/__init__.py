"""What every system must do before its numbers mean anything, checked on a live deployment."""

from .suite import Result, examine

__all__ = ["Result", "examine"]
