"""The conformance suite: what every system must do before its numbers count, checked live."""

from .suite import Result, examine

__all__ = ["Result", "examine"]
