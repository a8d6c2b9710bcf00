"""Copies of pageable memory through page-locked buffers arrive whole and before later launches."""

from __future__ import annotations

import pytest
import torch

from systems.engine.cuda.staging import PIECE, copy_to_device


@pytest.mark.parametrize("size", [1, PIECE, 5 * PIECE + 7])
def test_what_is_read_after_a_copy_is_what_was_copied(size: int) -> None:
    target = torch.zeros(size, dtype=torch.uint8, device="cuda")
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        source = torch.randint(256, (size,), dtype=torch.uint8, generator=generator)
        wanted = source.clone()
        copy_to_device(target, source)
        read = target.clone()
        source.zero_()  # it may be unmapped as soon as the call returns
        assert torch.equal(read.cpu(), wanted)
