"""A checkpoint read to the card piece by piece equals the one read to the host."""

from __future__ import annotations

import pytest
import torch

from systems.engine.checkpoint import fill, pieces, plan_layout
from systems.engine.cuda import loading
from systems.engine.cuda.loading import fill_device
from systems.models import ensure_backbone


@pytest.mark.parametrize("dtype", ["float32", "float16"])  # as stored, and converted
def test_what_arrives_is_the_checkpoint(dtype: str) -> None:
    tiny = ensure_backbone("tiny")
    layout = plan_layout(tiny, dtype)
    buffer = bytearray(layout.nbytes)
    fill(layout, tiny, memoryview(buffer))
    flat = torch.zeros(layout.nbytes, dtype=torch.uint8, device="cuda")
    fill_device(layout, tiny, flat)
    assert torch.equal(flat.cpu(), torch.frombuffer(buffer, dtype=torch.uint8))


def test_more_pieces_than_buffers_keep_their_places() -> None:
    tiny = ensure_backbone("tiny")
    layout = plan_layout(tiny, "float32")
    flat = torch.zeros(layout.nbytes, dtype=torch.uint8, device="cuda")
    whole = torch.zeros_like(flat)
    fill_device(layout, tiny, whole)
    found = pieces(layout, tiny, 50_000)
    assert found is not None
    assert len(found) > 2 * loading.READERS * loading.BUFFERS
    loading.stream(found, flat)
    assert torch.equal(flat, whole)
