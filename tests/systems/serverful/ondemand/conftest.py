"""vllm-sleep over scripted vLLMs and a card that they share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@contextmanager
def scripted_vllms(folder: Path, more: Mapping[str, str]) -> Iterator[Scripted]:
    """Have ``vllm`` and its card scripted, with ``more`` in the environment."""
    path, faults, card = folder / "vllm", folder / "faults", folder / "card"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {SERVER} "$@"\n')
    path.chmod(0o755)
    faults.mkdir()
    card.mkdir()
    before = os.environ.get("PYTHONPATH")
    folders = [str(HERE / "card"), *([before] if before else [])]
    environment = {
        EXECUTABLE: str(path),
        "SCRIPTED_FAULTS": str(faults),
        "SCRIPTED_CARD": str(card),
        "PYTHONPATH": os.pathsep.join(folders),
        **more,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Scripted(faults)


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Scripted]:
    with scripted_vllms(tmp_path, {}) as found:
        yield found


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
