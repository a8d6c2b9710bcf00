"""The example of docs/capacity.md, as it is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness.pages import ROOT, commands
from tests.harness.typed import typed

GUIDE = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("one_process", "png_only")
def test_the_example_of_the_guide_finds_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert len(example.splitlines()) <= 15
    (tmp_path / "mine.yaml").write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = [typed(command) for command in commands(GUIDE)]
    assert len(said) == 3
    (path,) = (tmp_path / "runs").glob("*/capacity.json")
    function, backbone = json.loads(path.read_bytes())["systems"]
    assert f"{function['requests_per_s']:.3g}" in said[0]
    assert backbone["feasible_max"] > function["feasible_max"], "shared instances hold more"
    assert (tmp_path / "mine" / "capacity.png").stat().st_size > 0
    for each in (function, backbone):
        low, high = each["interval"]
        assert low is None or low <= each["feasible_max"]
        assert high is None or high >= each["infeasible_min"]
        rows = {key for key in each if f"`{key}`" in GUIDE}
        assert rows >= set(each) - {"system", "workload", "finished", "infeasible_requests_per_s"}
