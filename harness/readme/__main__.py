"""Regenerates the generated blocks of all pages: ``python -m harness.readme``."""

from pathlib import Path

from ..places import REFERENCE
from .pages import regenerated

for page, text in regenerated(Path(), REFERENCE).items():
    page.write_text(text, encoding="utf-8")
    print(page)
