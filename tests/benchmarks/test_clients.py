"""What the compared load clients are told: the same load, on an exact grid."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from .clients.client import Client, Load
from .clients.inference_perf import INFERENCE_PERF
from .clients.registry import CLIENTS

LOAD = Load("http://127.0.0.1:9", "ref.ttft-2", 500, 5000, 64, 4, Path("tokenizer"))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_is_told_server_model_and_lengths(client: Client, tmp_path: Path) -> None:
    words = [str(word) for word in client.command(LOAD, tmp_path)]
    told = " ".join([*words, *(path.read_text() for path in tmp_path.iterdir())])
    for wanted in (LOAD.base_url, LOAD.model, "500", "64", "4"):
        assert wanted in told


def test_inference_perf_replays_the_grid(tmp_path: Path) -> None:
    INFERENCE_PERF.command(LOAD, tmp_path)
    config = json.loads((tmp_path / "config.yml").read_text())
    _, *lines = Path(config["load"]["trace"]["file"]).read_text().splitlines()
    rows = [line.split(",") for line in lines]
    first, *others = (datetime.fromisoformat(row[0]) for row in rows)
    assert [(each - first).total_seconds() for each in others] == pytest.approx(
        [number / 500 for number in range(1, 5000)]
    )
    assert {tuple(row[1:]) for row in rows} == {("64", "4")}
