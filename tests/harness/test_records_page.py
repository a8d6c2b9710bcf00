"""docs/records.md names every column that a record has."""

from __future__ import annotations

import re

import pytest

from harness.records.schema import TABLES

from .pages import ROOT

PAGE = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_on_the_page(table: str) -> None:
    named, current = set[str](), ""
    for row in re.findall(r"^\|([^|]*)\|([^|]*)\|", PAGE, re.MULTILINE):
        current = row[0].strip() or current
        named |= set(re.findall(r"`(\w+)`", row[1])) if current == table else set()
    assert set(TABLES[table].names) - named == set()
