"""The report is one self-contained page, with the most important facts first."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.records import Run, new_run, open_run, write_cell
from harness.report.page import page
from paper_figures.looks import SYSTEMS
from tests.harness import made

from .browser import look_into
from .swept import swept_run

QUICKSTART = Path(__file__).parents[2] / "results" / "reference" / "quickstart"


@pytest.fixture(scope="module")
def content() -> str:
    return page([open_run(QUICKSTART)])


def _text(content: str) -> str:
    """Remove the places where a name may be broken."""
    return content.replace("<wbr>", "")


def _data(content: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.S)
    assert found
    cells: list[dict[str, Any]] = json.loads(found[1])
    return cells


def test_nothing_is_fetched_from_anywhere(content: str) -> None:
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?!data:)", content)
    assert "http://" not in content
    assert "https://" not in content
    assert "default-src 'none'" in content


def test_warnings_come_before_any_number(tmp_path: Path) -> None:
    run = new_run({"name": "warned"}, tmp_path)
    made.made_cell(run, "serverless-lora", warnings=("the kernel cache was cold",))
    content = _text(page([run]))
    assert content.index("the kernel cache was cold") < content.index("<table>")


def test_every_request_and_its_stages_are_there(content: str) -> None:
    cells = {cell["name"]: cell for cell in _data(content)}
    for cell in open_run(QUICKSTART).cells():
        (mine,) = [c for name, c in cells.items() if f"{cell.system} · {cell.workload}" in name]
        assert (
            mine["requests"]["id"]
            == cell.requests.sort_values("scheduled_ns")["request_id"].tolist()
        )
        spans = cell.table("spans").num_rows
        assert sum(len(stages) for stages in mine["spans"].values()) == spans


def test_what_an_endpoint_does_not_tell_is_not_known_on_the_page(tmp_path: Path) -> None:
    run = new_run({"name": "endpoint"}, tmp_path)
    made.made_cell(run, "openai-endpoint", made.unseen_tables())
    content = page([run])
    (cell,) = _data(content)
    assert cell["requests"]["start_type"] == ["not known", "not known", "http_5xx"]
    assert cell["memory"] == cell["spans"] == {}
    for row in ("cold share", "reserved device memory", "cost"):
        assert f'<th scope="row">{row}' not in content


def test_memory_is_what_the_ledger_held(tmp_path: Path) -> None:
    (cell,) = _data(page([made.made_run(tmp_path, ("serverless-lora",))]))
    held = cell["memory"]["cpu:0"]
    at = dict(zip(held["t"], held["owners"]["kv"], strict=True))
    assert at[0.002] == pytest.approx(0.01)
    assert at[1.5] == 0


def test_an_invalid_cell_and_a_hostile_text_are_shown_as_text(tmp_path: Path) -> None:
    run = new_run({"name": "made"}, tmp_path)
    problem = "</script><script>alert(1)</script>"
    manifest = made.manifest(run, "serverless-lora").model_copy(
        update={"valid": False, "problems": (problem,)}
    )
    tables = made.tables()
    summary = made.metrics.summary(tables, made.END / 1e9)
    write_cell(run.path / "serverless-lora" / "time-breakdown" / "0", manifest, tables, summary)
    content = _text(page([run]))
    assert problem not in content
    assert "invalid: serverless-lora/time-breakdown/0: &lt;/script&gt;" in content


def test_no_text_in_the_data_keeps_a_script_open(tmp_path: Path) -> None:
    run = new_run({"name": "made"}, tmp_path)
    manifest = made.manifest(run, "serverless-lora", "<!--<script>")
    tables = made.tables()
    summary = made.metrics.summary(tables, made.END / 1e9)
    write_cell(run.path / "serverless-lora" / "strange" / "0", manifest, tables, summary)
    content = page([run])
    data = content.partition('id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert any("<!--<script>" in each["workload"] for each in json.loads(data))


def test_what_a_system_says_itself_is_among_the_warnings(tmp_path: Path) -> None:
    run = new_run({"name": "made"}, tmp_path)
    manifest = made.manifest(run, "serverless-lora").model_copy(
        update={"warnings": ("TTFT: apart",)}
    )
    tables = made.tables()
    summary = made.metrics.summary(tables, made.END / 1e9)
    write_cell(run.path / "serverless-lora" / "time-breakdown" / "0", manifest, tables, summary)
    assert "warning: serverless-lora/time-breakdown/0: TTFT: apart" in _text(page([run]))


def test_a_run_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no finished cell"):
        page([Run(tmp_path, {"name": "empty"})])


def test_the_page_of_the_quickstart_is_small(content: str) -> None:
    assert len(content.encode()) < 3_000_000


def test_tables_have_ratios_to_the_declared_baseline(content: str) -> None:
    rows = re.findall(r'<tr><th scope="row">TTFT p50.*?</tr>', content)
    assert len(rows) == 2
    assert all(row.count("<small>÷ ") == 2 for row in rows), "of three systems one is the baseline"
    (head,) = {found for found in re.findall(r"<thead><tr>(.*?)</tr>", _text(content))
               if '<th scope="col">n</th>' in found}  # fmt: skip
    assert head.endswith('<th scope="col">serverless-llm</th>')


def test_a_system_has_the_colour_and_the_name_of_the_figures(content: str, tmp_path: Path) -> None:
    for cell in _data(content):
        assert (cell["title"], cell["colour"]) == SYSTEMS[cell["system"]][:2]
    own = made.made_run(tmp_path, ("mine", "yours"))
    mine, yours = _data(page([own]))
    assert mine["colour"] != yours["colour"]


def test_several_runs_stand_apart(tmp_path: Path) -> None:
    runs = [made.made_run(tmp_path / name) for name in ("before", "after")]
    content = _text(page(runs))
    assert content.count(f"<h3>{runs[0].id}</h3>") == 2 * (1 + (runs[0].id == runs[1].id))
    assert "<h3>" not in page(runs[:1])
    assert len(_data(page(runs))) == 4


def test_a_sweep_is_drawn_over_its_axes_in_the_units_of_the_tables(sweep: Run) -> None:
    content = page([sweep])
    rows = json.loads(re.findall(r'id="sweeps">(.*?)</script>', content)[0])
    mean = [row for row in rows if row["metric"] == "TTFT mean, ms"]
    assert {row["point"]["workloads.time_scale"] for row in mean} == {1, 64}
    for cell in sweep.cells():
        place = (cell.system, cell.manifest.sweep)
        (row,) = [row for row in mean if (row["system"], row["point"]) == place]
        assert row["value"] == pytest.approx(1e3 * cell.requests["ttft_s"].mean())
        assert row["workload"] == "steady"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept_run(tmp_path_factory.mktemp("runs"), {"workloads.time_scale": [1, 64]})


_USED = """
  await until(() => tab.document.querySelector("#memory .main-svg"));
  const before = by("count").textContent;
  choose("function", 1);
  choose("request", 3);
  await until(() => tab.document.querySelector("#gantt .bars path"));
  const tall = (name) => [...tab.document.querySelectorAll("th")]
    .filter((cell) => cell.textContent === name)[0].getClientRects()[0].height;
  const names = tab.document.querySelectorAll("thead th");
  const text = tab.document.createRange();
  const words = [];
  for (const node of [...names].flatMap((head) => [...head.childNodes])) {
    if (node.nodeType !== 3) continue;
    text.selectNodeContents(node);
    words.push([node.textContent, text.getClientRects().length]);
  }
  return {
    changed: before !== by("count").textContent, wide: tab.document.documentElement.scrollWidth,
    dark: tab.matchMedia("(prefers-color-scheme: dark)").matches, words,
    bars: tab.document.querySelectorAll("#gantt .bars path").length,
    sweeps: !by("sweeps-section").hidden,
  };
"""


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1600, False)])
def test_in_a_browser(content: str, tmp_path: Path, width: int, dark: bool) -> None:
    seen = look_into(content, _USED, tmp_path, width=width, dark=dark)
    assert seen["said"] == []
    assert seen["asked"] == []
    found = seen["found"]
    assert found["changed"]
    assert found["bars"] > 0
    assert found["wide"] <= width, "the page itself scrolls sideways"
    assert found["dark"] is dark
    assert not found["sweeps"]
    assert len(found["words"]) > 5
    assert [word for word, lines in found["words"] if lines > 1 and " " not in word] == []


def test_a_sweep_in_a_browser(sweep: Run, tmp_path: Path) -> None:
    look = """
      await until(() => tab.document.querySelector("#sweep .main-svg"));
      choose("sweep-metric", 1);
      const names = [...tab.document.querySelectorAll("#sweep .legendtext")];
      return names.map((each) => each.textContent);
    """
    seen = look_into(page([sweep]), look, tmp_path, width=800)
    assert seen["said"] == []
    assert sorted(seen["found"]) == ["InstaInfer", "ServerlessLoRA"]
