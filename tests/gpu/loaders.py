"""Loaders of shared copies, each on a card of its own, driven without a controller."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systems.engine.checkpoint import plan_layout
from systems.runtime.children import Child, kill
from systems.runtime.messages import Failed, Message, Started
from systems.runtime.processes import Processes
from systems.serverless.live import messages as m
from systems.serverless.live import roles

PATIENCE_S = 240


@dataclass(eq=False)
class Loader:
    """A loader process; ``visible``: as ``CUDA_VISIBLE_DEVICES``."""

    processes: Processes
    visible: str
    heard: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    child: Child = field(init=False)

    def __post_init__(self) -> None:
        self.child = self.processes.begin(
            roles.LOADER,
            lambda message, fds: self.heard.put_nowait((message, fds)),
            lambda returncode: self.heard.put_nowait((returncode, [])),
            self.visible,
        )

    async def says(self, kind: type[Message]) -> tuple[Any, list[int]]:
        message, fds = await asyncio.wait_for(self.heard.get(), PATIENCE_S)
        assert isinstance(message, kind), message
        return message, fds

    async def stands_by(self, card: str, model: Path) -> None:
        self.child.channel.send(m.StandBy(card, (str(model),)))
        await self.says(Started)

    async def fails_to_stand_by(self, card: str) -> str:
        """Return what a loader says that was told that its card is ``card`` and is on another."""
        self.child.channel.send(m.StandBy(card, ()))
        message, _ = await self.says(Failed)
        return str(message.reason)

    async def fills(
        self,
        model: Path,
        dtype: str,
        card: str,
        source: Sequence[int] = (),
        *,
        audited: bool = True,
    ) -> tuple[m.CopyLoaded, int, float]:
        """Return the answer, the descriptor of the copy, and the seconds until it came."""
        layout = plan_layout(model, dtype)
        told = m.FillCopy(
            device="cuda", sharing="descriptor", audited=audited, layout=layout.to_json(),
            model_dir=str(model), card=card,
        )  # fmt: skip
        start = time.monotonic()
        self.child.channel.send(told, source)
        message, fds = await self.says(m.CopyLoaded)
        return message, fds[0], time.monotonic() - start

    async def ended(self) -> None:
        """Wait until it has ended, and so holds nothing but its copy on its card."""
        while not self.child.ended:
            await asyncio.wait_for(self.heard.get(), PATIENCE_S)

    def end(self) -> None:
        kill(self.child)


def used_bytes(card: str) -> int:
    """Return the memory in use on the card of a UUID, by the driver."""
    import pynvml

    pynvml.nvmlInit()
    return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(card)).used)


def used_at_rest(card: str) -> int:
    """Return the same once it has not changed for a second: the processes of the test before may
    still be giving theirs back."""
    deadline, since, used = time.monotonic() + 20, time.monotonic(), used_bytes(card)
    while time.monotonic() < min(since + 1, deadline):
        time.sleep(0.1)
        if (now := used_bytes(card)) != used:
            since, used = time.monotonic(), now
    return used


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)
