"""The batching policy decides whether batches may be back to back; instances are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from systems.interface import Deployment
from systems.serverless.core.policies.batching import Batching, FillOrExpire, FirstComeFirstServed

from . import puppets
from .puppets import POLICIES, Stage, play


@pytest.mark.parametrize(
    ("batching", "expected"), [(FillOrExpire, True), (FirstComeFirstServed, False)]
)
def test_an_instance_is_told_whether_the_next_batch_may_follow_at_once(
    batching: type[Batching],
    expected: bool,
    deployment: Deployment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(puppets, "POLICIES", replace(POLICIES, batching=batching))

    async def scene(stage: Stage) -> None:
        mine, _ = await stage.up("f0")
        assert [run["back_to_back"] for run in mine.asked("run")] == [expected]

    play(deployment, tmp_path, scene)
