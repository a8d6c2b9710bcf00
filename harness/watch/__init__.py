"""Shows a run while it goes: a live view in a terminal, lines elsewhere. docs/watch.md."""

from .console import Watch, watch

__all__ = ["Watch", "watch"]
