"""Every number of the pages is generated from a record or the code, or is of a kind that is not
measured (not_measured.toml)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from harness import readme
from harness.manual.pages import PAGES as MANUAL
from harness.readme.unrecorded import MARK, unrecorded
from tests.faults import page as faults

from .pages import ROOT, pages

NOT_MEASURED = tomllib.loads(Path(__file__).with_name("not_measured.toml").read_text("utf-8"))
GENERATED = {"METRICS.md", "docs/keys.md", *MANUAL}
"""Pages that are generated from the code as a whole, each with a test of its own."""

PAGES = {
    name: page.read_text(encoding="utf-8")
    for page in pages()
    if (name := page.relative_to(ROOT).as_posix()) not in GENERATED
}
BLOCKS = [*readme.blocks(), *faults.blocks()]

_QUANTITY = r"\d[\d.,]*\s*(?:%|×|[mµ]?s|[kKMGT]i?B(?:/s)?|times|\w+/s)?"
_CODE = re.compile(rf"```.*?```|^    [^\n]*$|`(?!{_QUANTITY}`)[^`]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\([^)]*\)")


def by_hand(text: str, page: str = "README.md") -> str:
    """Return the prose without generated blocks, code, link targets and what is not measured. A
    quantity does not become code by its backticks."""
    for block in (each for each in BLOCKS if each.page == page):
        text = text.partition(block.begin)[0] + text.partition(block.end)[2]
    text = _LINK.sub("", _CODE.sub("", text))
    for phrase in NOT_MEASURED["pages"].get(page, ()):
        text = re.sub(_written(phrase), "", text)
    for pattern in NOT_MEASURED["everywhere"].values():
        text = re.sub(pattern, "", text, flags=re.MULTILINE)
    return text


def _written(phrase: str) -> str:
    """Return a pattern of a phrase, wherever its lines end."""
    return r"\s+".join(map(re.escape, phrase.split()))


@pytest.mark.parametrize("page", PAGES)
def test_every_number_of_a_page_is_traced(page: str) -> None:
    assert re.findall(r"[^\n]*\d[^\n]*", by_hand(PAGES[page], page)) == []


def test_a_number_written_by_hand_is_noticed() -> None:
    assert "399" in by_hand("answered 399 requests on an H100")
    assert "3.3" in by_hand("Python ≥ 3.11 is 3.3 times faster")
    assert "14.2" in by_hand("it takes `14.2 ms`, with `--set repeats=3`")


def test_a_block_that_is_generated_from_nothing_is_noticed() -> None:
    (block, *_) = readme.blocks()
    assert "399" not in by_hand(f"{block.begin}\n399\n{block.end}", block.page)
    other = block.model_copy(update={"name": "made-up"})
    assert "399" in by_hand(f"{other.begin}\n399\n{other.end}", block.page)


@pytest.mark.parametrize("kind", NOT_MEASURED["everywhere"])
def test_each_kind_of_number_is_on_a_page(kind: str) -> None:
    pattern = re.compile(NOT_MEASURED["everywhere"][kind], re.MULTILINE)
    assert any(map(pattern.search, PAGES.values()))


@pytest.mark.parametrize("page", NOT_MEASURED["pages"])
def test_what_is_let_through_on_a_page_is_written_there(page: str) -> None:
    for phrase in NOT_MEASURED["pages"][page]:
        assert re.search(_written(phrase), PAGES[page]), phrase


def test_what_has_no_record_says_so_on_its_page() -> None:
    shown = {block.name: block.page for block in readme.blocks() if block.kind == "unrecorded"}
    assert set(shown) == set(unrecorded())
    for name, about in unrecorded().items():
        page = PAGES[shown[name]]
        assert f"{about.what}. {MARK}: on {about.on}, {about.day}; {about.source}." in page
    marked = sum(text.count(f"{MARK}:") for text in PAGES.values())
    assert marked == len(shown)
