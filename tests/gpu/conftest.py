"""The tests of this folder need a CUDA device: `make test-gpu`."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")  # before any fixture that needs the card
def card() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
