"""The cold starts that others have published are marked as such, each with what was resident."""

from __future__ import annotations

from harness.readme.published import published

from .pages import ROOT

RESULTS = (ROOT / "RESULTS.md").read_text(encoding="utf-8")


def test_each_says_what_was_resident_and_who_says_so() -> None:
    found = published()
    assert len(found) >= 8
    for each in found:
        assert each.told
        assert each.resident
        assert each.url or each.by == "digest", f"{each.system}: authors without their page"


def test_the_page_marks_them_as_published() -> None:
    _, _, section = RESULTS.partition("### Cold starts that others have published")
    table = section.partition("\n## ")[0]
    assert "| published, not measured here |" in table
    for each in published():
        (row,) = (line for line in table.splitlines() if line.startswith(f"| {each.system} |"))
        assert each.resident in row
