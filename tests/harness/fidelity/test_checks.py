"""Where checks of profiles are written."""

from __future__ import annotations

import json
from pathlib import Path

from harness.fidelity.checks import write


def test_a_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    path = tmp_path / "checks" / "fidelity-mine.json"
    write({"profile": "mine"}, path)
    assert json.loads(path.read_text(encoding="utf-8")) == {"profile": "mine"}
