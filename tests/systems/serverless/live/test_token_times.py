"""Tokens have the times that their instance reports, not those at which the gateway heard them."""

from __future__ import annotations

import time
from pathlib import Path

from systems.interface import Deployment

from .puppets import Stage, play


def test_a_request_is_journaled_with_the_times_of_its_instance(
    deployment: Deployment, tmp_path: Path
) -> None:
    told: list[int] = []

    async def scene(stage: Stage) -> None:
        mine, call = await stage.up("f0")
        # The puppet sends these after they have passed, so the gateway hears them later.
        told.extend(time.monotonic_ns() for _ in range(3))
        mine.says(
            "prefilled",
            batch=mine.asked("run")[-1]["batch"],
            start_ns=told[0],
            t_ns=told[1],
            computed_ns=1,
            tokens=[(call.id, 7, None)],
        )
        mine.says("decoded", t_ns=told[2], tokens=[(call.id, 7, "stop")])
        await stage.until(lambda: not stage.platform.controller.state.requests)
        assert [call.prefill_ns, call.first_token_ns, call.last_token_ns] == told

    play(deployment, tmp_path, scene)
