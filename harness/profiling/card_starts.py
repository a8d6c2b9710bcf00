"""What a first call on a card takes beyond a second one: kernels, and the shapes of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import numpy as np

from .card_passes import Passes
from .card_steps import Decoding
from .found import Found, distribution, median
from .frames import Frames

FIRST_PROMPT = 128.0


def first_calls(
    frames: Frames,
    one_step: Sequence[int],
    two_steps: Sequence[int],
    passes: Passes,
    alone: Decoding,
) -> dict[str, Found]:
    """Measure the first calls of functions whose answers have a first step only, or two. The first
    use of a shape loads its kernels, the second captures its graph."""
    both = sorted([*one_step, *two_steps])
    step_s, pass_s = (
        alone.alone_s(frames.stage("decode", one_step)[0]),
        dict(passes.points)[FIRST_PROMPT],
    )
    first_s = float(np.median(frames.seconds("decode", one_step)))
    second_s = float(np.median(frames.seconds("decode", two_steps))) - first_s
    loaded, captured = max(first_s - step_s, 0.0), max(second_s - step_s, 0.0)
    prefill = np.maximum(frames.seconds("prefill", both) - pass_s, 0.0)
    told = f"step of {len(one_step)} first calls less that of a hot instance"
    return {
        "kernels_s": distribution(frames.seconds("kernels", both), "kernels of forks"),
        "first_batch_s": median(prefill, "prefill of first calls less that of a hot instance"),
        "graphs.first_s": Found(loaded, f"first {told}"),
        "graphs.capture_s": Found(captured, f"second {told}"),
        "graphs.prepare_s": _prepare_s(loaded, captured, passes, alone),
    }


def _prepare_s(loaded: float, captured: float, passes: Passes, alone: Decoding) -> Found:
    """An idle process calls each shape twice: the first call loads, the second captures."""
    read_s = alone.size.weights_bytes / alone.bytes_per_s
    computed = [*(s for _, s in passes.points), *(s + read_s for _, s in alone.rows)]
    value = (loaded + captured) / 2 + mean(computed)
    told = "mean of first_s and capture_s, and of the times of passes and steps that were measured"
    return Found(value, told, "derived")
