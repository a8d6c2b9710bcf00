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


def test_a_batch_takes_what_comes_until_its_instance_ends_a_decode_step(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bare backbone is called: it needs no adapter, whose parser would be a real process."""
    monkeypatch.setattr(puppets, "POLICIES", replace(POLICIES, batching=FillOrExpire))

    async def scene(stage: Stage) -> None:
        mine, first = await stage.up("tiny")
        mine.prefills()
        await stage.all_heard()
        joining = [stage.call("tiny") for _ in range(2)]
        await stage.until(lambda: len(mine.asked("run")) == 3)
        _, *both = mine.asked("run")
        assert len({run["batch"] for run in both}) == 1
        assert [call.batch_size for call in joining] == [2, 2]
        mine.decodes((first.id, 7, None))
        await stage.all_heard()
        stage.call("tiny")
        await stage.all_heard()
        assert len(mine.asked("run")) == 3, "the batch has begun"

    play(deployment.model_copy(update={"isolation": "backbone"}), tmp_path, scene)
