"""``policies`` of an experiment's system replace the system's own, and the manifest records it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.execution.progress import Progress
from harness.execution.runner import Runner
from harness.experiment_files import load
from harness.records import Cell, new_run
from systems.errors import PolicyError


def cell(system: str, policies: dict[str, str], out: Path) -> Cell:
    chosen = [{"name": system, "policies": policies}]
    experiment = load("time-breakdown", {"mode": "simulated", "systems": chosen})
    run = new_run(experiment.model_dump(mode="json"), out)
    Runner(experiment, run, Progress()).execute(1)
    (found,) = run.cells()
    return found


@pytest.mark.parametrize(
    ("ablation", "policies"),
    [
        ("serverless-lora-no-preloading", {"preloading": "none"}),
        ("serverless-lora-no-sharing", {"sharing": "copy-per-instance"}),
    ],
)
def test_a_system_with_a_policy_replaced_is_its_ablation(
    ablation: str, policies: dict[str, str], tmp_path: Path
) -> None:
    ours, theirs = (
        cell(name, replaced, tmp_path / name)
        for name, replaced in (("serverless-lora", policies), (ablation, {}))
    )
    plain = cell("serverless-lora", {}, tmp_path / "plain")
    assert ours.manifest.system["policies"] == theirs.manifest.system["policies"]
    assert ours.manifest.system["policies"] != plain.manifest.system["policies"]
    for table in ("requests", "memory", "billing"):
        mine, its, other = (
            (c.path / f"{table}.parquet").read_bytes() for c in (ours, theirs, plain)
        )
        assert mine == its
        assert mine != other


@pytest.mark.parametrize(
    ("system", "policies", "why"),
    [
        (
            "serverless-lora",
            {"batching": "luck"},
            "^serverless-lora: policies: batching 'luck' is unknown; known: fill-or-",
        ),
        (
            "serverless-lora",
            {"luck": "none"},
            "^serverless-lora: policies: seam 'luck' is unknown; known: admission, batch",
        ),
        ("multi-lora", {"batching": "none"}, "multi-lora has no policies that can be replaced"),
    ],
)
def test_what_cannot_be_replaced_is_refused_in_one_line(
    system: str, policies: dict[str, str], why: str, tmp_path: Path
) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        cell(system, policies, tmp_path)
    assert "\n" not in str(caught.value)
