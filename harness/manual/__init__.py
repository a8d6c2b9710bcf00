"""The generated pages of the manual: commands, experiments and policies, from the code itself."""

from .pages import written

__all__ = ["written"]
