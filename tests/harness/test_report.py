"""The report is one self-contained page, with the most important facts first."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.records import Run, new_run, open_run, write_cell
from harness.report.page import page
from tests.harness import made

QUICKSTART = Path(__file__).parents[2] / "results" / "reference" / "quickstart"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def content() -> str:
    return page([open_run(QUICKSTART)])


def _data(content: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.S)
    assert found
    cells: list[dict[str, Any]] = json.loads(found[1])
    return cells


def test_nothing_is_fetched_from_anywhere(content: str) -> None:
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?!data:)", content)
    ours = re.sub(r"<script>.*?</script>", "", content, count=1, flags=re.S)
    assert "http://" not in ours
    assert "https://" not in ours
    assert "default-src 'none'" in content
    assert len(content.encode()) < 10_000_000


def test_warnings_come_before_any_number(tmp_path: Path) -> None:
    run = new_run({"name": "warned"}, tmp_path)
    made.made_cell(run, "serverless-lora", warnings=("the kernel cache was cold",))
    content = page([run])
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
    content = page([run])
    assert problem not in content
    assert "invalid: serverless-lora/time-breakdown/0: &lt;/script&gt;" in content


def test_what_a_system_says_itself_is_among_the_warnings(tmp_path: Path) -> None:
    run = new_run({"name": "made"}, tmp_path)
    manifest = made.manifest(run, "serverless-lora").model_copy(
        update={"warnings": ("TTFT: apart",)}
    )
    tables = made.tables()
    summary = made.metrics.summary(tables, made.END / 1e9)
    write_cell(run.path / "serverless-lora" / "time-breakdown" / "0", manifest, tables, summary)
    assert "warning: serverless-lora/time-breakdown/0: TTFT: apart" in page([run])


def test_a_run_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no finished cell"):
        page([Run(tmp_path, {"name": "empty"})])


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1600, "light")])
def test_in_a_browser(content: str, tmp_path: Path, width: int, scheme: Any) -> None:
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser here (looked for {', '.join(_BROWSERS)})")
    (tmp_path / "report.html").write_text(content, encoding="utf-8")
    with driver.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = opened.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said: list[str] = []
        asked: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((tmp_path / "report.html").as_uri())
        tab.wait_for_selector("#memory .main-svg")
        before = tab.text_content("#count")
        tab.select_option("#function", "f3")
        assert tab.text_content("#count") != before
        tab.select_option("#request", index=3)
        tab.wait_for_selector("#gantt .bars path")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.screenshot(path=str(tmp_path / f"report-{scheme}.png"), full_page=True)
        opened.close()
    assert said == []
    assert asked == [(tmp_path / "report.html").as_uri()]
