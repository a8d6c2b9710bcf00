"""The reference runs: which there are, and how they are made compact enough to be committed."""

from .studies import Study, studies

__all__ = ["Study", "studies"]
