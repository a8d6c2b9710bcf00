"""Arrival processes, one a file. Each function's stream is its own (seed + function id)."""

from .clusters import Clusters, generate

__all__ = ["Clusters", "generate"]
