"""On the card: attention of ragged passes over prompts is that of the plain operations."""

from __future__ import annotations

import pytest
import torch

from systems.engine.cuda.ops import TorchOps, ops_for

BOUNDS = {
    "one": [0, 192],
    "three, and padding": [0, 64, 256, 320, 512, 512, 512, 512, 512],
    "sixteen": [64 * n for n in range(17)],
    "two long ones": [0, 512, 1024, *(1024,) * 14],
    "one, and much padding": [0, 64, 576, *(1024,) * 14],
}


def test_no_value_of_a_prompt_reaches_another() -> None:
    pytest.importorskip("triton")
    bounds = torch.tensor([0, 64, 192, 256, 512], dtype=torch.int32, device="cuda")
    qkv = torch.randn(512, 96, 128, device="cuda").half()
    before = ops_for("cuda").attend_prompts(qkv, 32, bounds)
    qkv[64:192] = torch.nan
    after = ops_for("cuda").attend_prompts(qkv, 32, bounds)
    assert after[64:192].isnan().all()
    for others in (slice(0, 64), slice(192, 512)):
        assert torch.equal(after[others], before[others])


@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(32, 32, 128), (9, 3, 64), (4, 2, 16)])
@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_each_prompt_attends_to_itself(
    dtype: torch.dtype,
    bounds: list[int],
    heads: int,
    kv_heads: int,
    head_dim: int,
    window: int | None,
) -> None:
    pytest.importorskip("triton")
    generator = torch.Generator("cuda").manual_seed(1)
    shape = bounds[-1], heads + 2 * kv_heads, head_dim
    qkv = torch.randn(shape, device="cuda", generator=generator).to(dtype)
    ends = torch.tensor(bounds, dtype=torch.int32, device="cuda")
    wanted = TorchOps().attend_prompts(qkv.float(), kv_heads, ends, window)
    got = ops_for("cuda").attend_prompts(qkv, kv_heads, ends, window)
    assert got.shape == wanted.shape
    close = 2e-3 if dtype == torch.float16 else 2e-2
    torch.testing.assert_close(got.float(), wanted, rtol=close, atol=close)
