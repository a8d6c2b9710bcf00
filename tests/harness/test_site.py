"""The pages as one site: links lead somewhere, the navigation has every page, and what is
generated is current. (make docs builds it, and checks the same strictly.)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.manual import written

from .pages import ROOT, pages

_CODE = re.compile(r"```.*?```|`[^`\n]*`|^    [^\n]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEAD = re.compile(r"^#+ (.+)$", re.MULTILINE)


def links(text: str) -> list[str]:
    """Return the targets of links within the checkout, outside of code."""
    return [each for each in _LINK.findall(_CODE.sub("", text)) if "://" not in each]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and mkdocs name them."""
    heads = (re.sub(r"[^\w\s-]", "", head).strip().lower() for head in _HEAD.findall(text))
    return {re.sub(r"\s+", "-", head) for head in heads}


def broken(page: Path, text: str) -> list[str]:
    """Return the links of the text of a page that lead nowhere."""
    return [each for each in links(text) if not _leads_somewhere(each, page)]


def _leads_somewhere(link: str, page: Path) -> bool:
    place, _, anchor = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not anchor:
        return target.exists()
    return target.exists() and anchor in anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    text = "[a](nowhere.md), [b](ARCHITECTURE.md#nothing), [c](#what-isolation-costs), `[d](e.md)`"
    assert broken(ROOT / "RESULTS.md", text) == ["nowhere.md", "ARCHITECTURE.md#nothing"]


def paths(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    inside = nav.values() if isinstance(nav, dict) else nav
    return [path for each in inside for path in paths(each)]


def test_the_navigation_has_every_page_once() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = sorted(page.relative_to(ROOT).as_posix() for page in pages())
    assert sorted(paths(site["nav"])) == there
    assert site["strict"] is True


def test_the_generated_pages_are_current() -> None:
    for page, text in written(ROOT).items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name}: python -m harness.manual"
