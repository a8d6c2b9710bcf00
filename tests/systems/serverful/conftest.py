"""``vllm`` as it was recorded, in place of one that is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from systems.vllm import EXECUTABLE

PLAYBACK = Path(__file__).with_name("playback.py")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "vllm"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {PLAYBACK} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv(EXECUTABLE, str(path))
    return path
