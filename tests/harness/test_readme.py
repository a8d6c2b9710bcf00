"""Every number of README.md and RESULTS.md is generated from a record, or of a kind that is not
measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.places import REFERENCE
from harness.readme import blocks, made_anew
from harness.readme.pages import put_into, without_blocks
from harness.readme.ratios import ratios
from harness.records.files import read_kept

ROOT = Path(__file__).parents[2]

NOT_MEASURED = {
    "a name with a number in it": (
        r"SmolLM2-135M-Instruct|Llama-?2-7B|13B|L40S|H[12]00|azure-bursty8"
    ),
    "a publication": r"arXiv 2505\.14468|EuroSys'26|\bCC-BY 4\.0|Apache-2\.0",
    "a version that is needed": r"Python ≥ 3\.11",
    "an exit status": r"\b0 done, 1 invalid, 2 wrong\s+request, 3 interrupted",
}


@pytest.fixture(scope="module")
def anew() -> dict[Path, str]:
    return made_anew(ROOT, ROOT / REFERENCE)


def test_every_page_says_what_the_records_say(anew: dict[Path, str]) -> None:
    pages = {"README.md", "RESULTS.md", "simulation.md", "models.md", "PERFORMANCE.md"}
    assert {path.name for path in anew} == pages
    for path, text in anew.items():
        stale = f"{path.name} is stale: python -m harness.readme"
        assert path.read_text(encoding="utf-8") == text, stale


def test_every_block_names_its_record() -> None:
    for block in blocks():
        assert (ROOT / REFERENCE / block.record).exists(), block.name


def test_a_table_of_ratios_marks_the_published_value_and_says_how_sure_a_ratio_is() -> None:
    (block,) = (block for block in blocks() if block.name == "regimes-devices")
    cells = [line.split(" | ") for line in ratios(block, ROOT / REFERENCE).splitlines()]
    assert [row[0] for row in cells[2::2]] == ["| 16 (published)", "| 4", "| 2", "| 1"]
    numbers = read_kept(ROOT / REFERENCE / block.record / "numbers.parquet").to_pandas()
    ttft = numbers[(numbers["metric"] == "ttft_from_schedule_s.mean") & (numbers["at"] == 1)]
    mean = ttft.set_index("system")["value"]
    times = mean["serverless-lora-no-sharing"] / mean["serverless-lora"]
    (told,) = (row for row in cells if row[0] == "| 1")
    assert re.match(rf"{times:.2f} \(\d\.\d\d–\d\.\d\d\)$", told[3])


def by_hand(text: str, page: str = "README.md") -> str:
    """Return the prose without code, link targets and the allowed kinds of numbers."""
    code = re.compile(r"```.*?```|^    [^\n]*$", flags=re.S | re.M)
    text = code.sub("", without_blocks(text, page))
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
    for pattern in NOT_MEASURED.values():
        text = re.sub(pattern, "", text)
    return text


PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "RESULTS.md")}


@pytest.mark.parametrize("page", PAGES)
def test_no_number_outside_the_blocks_could_have_been_measured(page: str) -> None:
    assert re.findall(r"[^\n]*\d[^\n]*", by_hand(PAGES[page], page)) == []


def test_a_number_written_by_hand_is_noticed() -> None:
    assert "399" in by_hand("answered 399 requests on an H100")
    assert "3.3" in by_hand("Python ≥ 3.11 is 3.3 times faster")


def test_each_kind_of_number_is_on_a_page() -> None:
    for kind, pattern in NOT_MEASURED.items():
        assert any(re.search(pattern, text) for text in PAGES.values()), kind


def test_a_page_without_a_blocks_marks_is_named() -> None:
    block = blocks()[0]
    with pytest.raises(HarnessError, match=block.name):
        put_into("no marks here", block, "content")


CHECKED = {
    "docs/simulation.md": ("## How far from live", "## Instances that several"),
    "PERFORMANCE.md": ("Simulated with `profiles/h100.toml`", "## Sweeps"),
}
"""By page, the beginning and the end of what it says about how far simulations are from live."""


def quoted(text: str) -> list[str]:
    """Return the errors and durations that a text quotes."""
    return re.findall(r"\d[\d,.]*\s*(?:%|m?s\b|times\b)", text)


@pytest.mark.parametrize("page", CHECKED)
def test_how_far_simulations_are_from_live_is_told_by_the_record_alone(page: str) -> None:
    begin, end = CHECKED[page]
    text = without_blocks((ROOT / page).read_text(encoding="utf-8"), page)
    told = text[text.index(begin) : text.index(end)]
    assert quoted(told) == []
    assert quoted("its TTFT is 73 % off, 376 ms") == ["73 %", "376 ms"]
