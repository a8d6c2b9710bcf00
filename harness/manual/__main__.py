"""Writes the generated pages of the manual into the checkout: ``python -m harness.manual``."""

from pathlib import Path

from .pages import written

for page, text in written(Path()).items():
    page.write_text(text, encoding="utf-8")
    print(page)
