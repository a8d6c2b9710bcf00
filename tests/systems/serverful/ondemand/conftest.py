"""vllm-sleep over scripted vLLMs and a card that they share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from systems.interface import Deployment, Device, Function, Limits
from systems.models import ensure_adapters, ensure_backbone
from systems.vllm import EXECUTABLE

HERE = Path(__file__).parent
SERVER = HERE / "scripted_vllm.py"
KEEP_ALIVE_S = 0.4
Deploy = Callable[..., Deployment]


@dataclass(frozen=True)
class Scripted:
    """The scripted vLLMs of a test."""

    faults: Path

    def fail(self, request: str) -> None:
        """Make the next request of this name fail."""
        (self.faults / request).touch()

    @staticmethod
    def servers(pids: tuple[int, ...]) -> list[psutil.Process]:
        """Return the running servers of a proxy."""
        found = [child for pid in pids for child in psutil.Process(pid).children(recursive=True)]
        return [each for each in found if str(SERVER) in each.cmdline()]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    path, faults, card = tmp_path / "vllm", tmp_path / "faults", tmp_path / "card"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {SERVER} "$@"\n')
    path.chmod(0o755)
    faults.mkdir()
    card.mkdir()
    monkeypatch.setenv(EXECUTABLE, str(path))
    monkeypatch.setenv("SCRIPTED_FAULTS", str(faults))
    monkeypatch.setenv("SCRIPTED_CARD", str(card))
    before = os.environ.get("PYTHONPATH")
    folders = [str(HERE / "card"), *([before] if before else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    return Scripted(faults)


@pytest.fixture(scope="session")
def deployed() -> Deploy:
    """Make a deployment: functions (their names choose their behaviour) and options."""

    def make(*names: str, keep_alive_s: float = KEEP_ALIVE_S, **options: Any) -> Deployment:
        tiny = ensure_backbone("tiny")
        adapters = ensure_adapters(tiny, ["f0", "f1"], rank=8)
        paths = list(adapters.values())
        return Deployment(
            functions=tuple(
                Function(id=name, backbone="tiny", adapter=paths[index % 2])
                for index, name in enumerate(names)
            ),
            backbones={"tiny": tiny},
            devices=(Device(name="cuda:0", memory_bytes=40 << 30),),
            limits=Limits(
                max_batch_size=4, max_context_tokens=256, keep_alive_s=keep_alive_s,
                request_timeout_s=30,
            ),
            options=options,
        )  # fmt: skip

    return make
