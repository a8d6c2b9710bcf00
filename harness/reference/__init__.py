"""The reference runs: their definitions, and how they are compacted for the repository."""

from .studies import Study, studies

__all__ = ["Study", "studies"]
