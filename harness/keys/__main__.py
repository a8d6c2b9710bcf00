"""Prints docs/keys.md: ``python -m harness.keys > docs/keys.md``."""

from .page import page

print(page(), end="")
