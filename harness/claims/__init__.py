"""The paper's published results, our results, and a verdict on each."""

from .claim import Claim, Finding, Ours, Published, published
from .verdicts import claims

__all__ = ["Claim", "Finding", "Ours", "Published", "claims", "published"]
