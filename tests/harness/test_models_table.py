"""The table of architectures, devices, isolation levels and forms of adapters."""

from __future__ import annotations

import json
from pathlib import Path

from harness.readme.block import Block
from harness.readme.models import models


def test_a_cell_has_one_verdict_or_that_of_every_form(tmp_path: Path) -> None:
    forms = {"none": "equal", "dora": "refused: use_dora is set"}
    cells = {
        "cores": {"function": {"llama": forms, "qwen2": dict.fromkeys(forms, "equal")}},
        "card": {
            "function": {name: dict.fromkeys(forms, "not run yet") for name in ("llama", "qwen2")}
        },
    }
    (tmp_path / "models.json").write_text(json.dumps(cells))
    block = Block(name="models", page="docs/models.md", kind="models", record="models.json")
    assert models(block, tmp_path).splitlines() == [
        "| architecture | cores: function | card: function |",
        "| --- | --- | --- |",
        "| llama | none: equal; dora: refused: use_dora is set | not run yet |",
        "| qwen2 | equal | not run yet |",
    ]
