"""The generated blocks of the pages say what their records say. (test_traced.py: no number is
outside of one.)"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.places import REFERENCE
from harness.readme import Block, blocks
from harness.readme.benchmark import benchmark
from harness.readme.held import held
from harness.readme.ledger import ledger
from harness.readme.pages import put_into
from harness.readme.ratios import ratios
from harness.readme.unrecorded import Unrecorded
from harness.records.files import read_kept

from .pages import ROOT, copied
from .typed import typed


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The pages as ``python -m harness.readme`` leaves them, of pages whose blocks are empty."""
    folder = copied(tmp_path_factory.mktemp("pages"))
    for block in blocks():
        page = folder / block.page
        page.write_text(put_into(page.read_text(encoding="utf-8"), block, ""), encoding="utf-8")
    with contextlib.chdir(folder):
        made = typed("python -m harness.readme").split()
    return {ROOT / page: (folder / page).read_text(encoding="utf-8") for page in made}


def test_every_page_says_what_the_records_say(regenerated: dict[Path, str]) -> None:
    pages = {"README.md", "RESULTS.md", "PERFORMANCE.md", "docs/simulation.md", "docs/models.md",
             "harness/replay/README.md"}  # fmt: skip
    assert {path.relative_to(ROOT).as_posix() for path in regenerated} == pages
    for path, text in regenerated.items():
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


def test_a_page_without_a_blocks_marks_is_named() -> None:
    block = blocks()[0]
    with pytest.raises(HarnessError, match=block.name):
        put_into("no marks here", block, "content")


def made_of(tmp_path: Path, record: object, **columns: str) -> list[str]:
    """Return the lines of the table of a benchmark's record, a column for each title."""
    (tmp_path / "made.json").write_text(json.dumps(record), encoding="utf-8")
    block = Block(
        name="made", page="", kind="benchmark", record="made.json",
        heads=tuple(columns), rows=tuple(columns.values()),
    )  # fmt: skip
    return benchmark(block, tmp_path).splitlines()


def test_the_rows_of_a_benchmark_are_keys_of_its_record_or_a_list(tmp_path: Path) -> None:
    record = {"card": "a card", "by_m": {"1": {"ms": 3.519}, "2": {"ms": 7.3476}}}
    about, _, heads, rule, *rows = made_of(tmp_path, record, M="by_m/*", ms="by_m/*/ms",
                                           times="÷ by_m/*/ms")  # fmt: skip
    assert about == "[made.json](results/reference/made.json), a card:"
    assert (heads, rule) == ("| M | ms | times |", "| --: | --: | --: |")
    assert rows == ["| 1 | 3.52 | 1.00 |", "| 2 | 7.35 | 2.09 |"]
    listed = {"runs": [[], [{"what": "a", "n": 1008, "s": None}, {"what": "b", "n": 2}]]}
    *_, rule, one, two = made_of(tmp_path, listed, what="runs/1/*/what", n="runs/1/*/n",
                                 s="runs/1/*/s")  # fmt: skip
    assert rule == "| --- | --: | --- |"
    assert (one, two) == ("| a | 1,008 | — |", "| b | 2 | — |")


def test_what_a_loader_held_before_it_shared_a_copy_is_not_counted_twice() -> None:
    """In time-breakdown-h100 the driver counted the loader with its copy before the first token."""
    block = Block(
        name="made", page="", kind="ledger",
        rows=("time-breakdown-h100",), systems=("serverless-lora",),
    )  # fmt: skip
    rows = ledger(block, ROOT / REFERENCE).splitlines()[2:]
    assert rows
    assert all(", one NVIDIA H100 80GB HBM3; [" in row for row in rows)
    ratios = [float(each) for row in rows for each in row.rstrip(" |").split(" | ")[-2:]]
    assert ratios == pytest.approx([1.0] * 2 * len(rows), abs=0.05), "of peaks and of means"


def test_what_is_held_is_the_summarys_and_stays_with_what_is_not_called() -> None:
    systems = ("serverless-lora", "vllm-sleep-function", "multi-lora")
    block = Block(
        name="held", page="RESULTS.md", kind="held", record="opponents-h200", systems=systems,
        workloads=("azure-bursty8",),
    )  # fmt: skip
    ours, asleep, kept_up = held(block, ROOT / REFERENCE).splitlines()[2:]
    summary = json.loads(
        (ROOT / REFERENCE / "opponents-h200/serverless-lora/azure-bursty8/92/summary.json")
        .read_text(encoding="utf-8")
    )  # fmt: skip
    mean = summary["memory_gb_s"]["cuda:0"]["all"] / summary["duration_s"]
    most = summary["memory_peak_bytes"]["cuda:0"]["all"] / 1e9
    assert f"| {mean:.1f} | {most:.1f} |" in ours, "its weights and each function's process"
    before, between, _, host = (float(each) for each in asleep.split("|")[2:-1])
    assert 8 * 0.5 < before < 8 * 2.25 < between, "eight servers asleep, then half of them awake"
    assert host > 8 * 13.4, "each has its weights in host memory"
    assert kept_up.startswith("| multi-lora † | 14.9 | 15.4 |"), (
        "the mean of what the driver counted"
    )


def test_the_newest_records_of_a_check_come_first(regenerated: dict[Path, str]) -> None:
    page = regenerated[ROOT / "PERFORMANCE.md"]
    (block,) = (block for block in blocks() if block.name == "fidelity-h100")
    table = page.partition(block.begin)[2].partition(block.end)[0]
    rows = [line.split(" | ")[:2] for line in table.strip().splitlines()[2:]]
    began: dict[str, str] = {}
    for name, made in rows:
        record = name.partition(",")[0]
        began[record] = min(began.get(record, made), made)
    assert list(began.values()) == sorted(began.values(), reverse=True)
    assert len(set(began.values())) > 1
    assert len({made for _, made in rows}) > len(began), "each cell has its own"


def test_a_measurement_without_a_record_has_a_cell_under_each_head() -> None:
    about = {"what": "a", "source": "by hand", "on": "a card", "day": "2026-11-28"}
    rows = [["x", "1", "2"], ["y", "1"]]
    with pytest.raises(ValueError, match="y: 2 cells under 3 heads"):
        Unrecorded.model_validate({**about, "heads": ["", "p", "q"], "rows": rows})
