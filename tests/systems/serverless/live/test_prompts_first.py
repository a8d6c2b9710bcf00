"""The live platform tells instances to pause decoding, and to go on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from systems.interface import Deployment
from systems.serverless.core.policies.batching import FirstComeFirstServed

from . import puppets
from .puppets import POLICIES, Stage, play

CORES = len(os.sched_getaffinity(0))
"""Threads of an instance, so that instances take turns on them."""


class PromptsFirst(FirstComeFirstServed):
    prompts_first = True


def test_an_instance_decodes_no_further_while_another_computes_prompts(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puppets, "POLICIES", replace(POLICIES, batching=PromptsFirst))

    async def scene(stage: Stage) -> None:
        await stage.idle("f1")
        decoding, _ = await stage.up("f0")
        decoding.prefills()
        await stage.all_heard()
        assert not decoding.asked("pausedecoding")
        stage.call("f1")
        await stage.until(lambda: decoding.asked("pausedecoding"))
        (pause,) = decoding.asked("pausedecoding")
        assert pause["most_ns"] >= 0, "the puppet told that its first prompts took no time"
        assert not decoding.asked("resumedecoding")
        stage.of("f1").prefills()
        await stage.until(lambda: decoding.asked("resumedecoding"))

    limits = deployment.limits.model_copy(update={"threads_per_instance": CORES})
    play(deployment.model_copy(update={"limits": limits}), tmp_path, scene)
