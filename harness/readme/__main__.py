"""Regenerates the generated blocks of all pages: ``python -m harness.readme``."""

from pathlib import Path

from ..places import REFERENCE
from .pages import made_anew

for page, text in made_anew(Path(), REFERENCE).items():
    page.write_text(text, encoding="utf-8")
    print(page)
