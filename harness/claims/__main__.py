"""Puts the table of claims into the README: ``python -m harness.claims``."""

from pathlib import Path

from .page import put_into
from .verdicts import claims

page = Path("README.md")
page.write_text(put_into(page, claims()), encoding="utf-8")
