"""The time of a card's passes over prompts, by the tokens that they compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .batch_fit import least_squares
from .found import Found, Points
from .frames import Frames

GRANULE = 64
"""The prompts of the probes are padded to a multiple of so many tokens."""


@dataclass(frozen=True)
class Passes:
    """The median time of a pass in s by its tokens, padding included."""

    points: Points
    prompts: dict[float, int]
    """Of each point's pass."""

    def numbers(self, gparams: float) -> dict[str, Found]:
        """``gparams``: parameters of the backbone in 10⁹."""
        rows = [(1.0, self.prompts[tokens], tokens) for tokens, _ in self.points]
        fixed, prompt, token = least_squares(rows, [seconds for _, seconds in self.points])
        line = "least squares over prefill_pass_s_per_gparam"
        curve = tuple((tokens, seconds / gparams) for tokens, seconds in self.points)
        return {
            "prefill_s": Found(fixed, line, "derived"),
            "prefill_request_s": Found(prompt, line, "derived"),
            "prefill_token_s_per_gparam": Found(token / gparams, line, "derived"),
            "prefill_pass_s_per_gparam": Found(
                curve,
                f"passes of a hot instance by tokens, medians, over {gparams:.4g}e9 parameters",
            ),
        }


def passes(frames: Frames, requests: Sequence[int]) -> Passes:
    """``requests``: prompts that are computed in one pass each, alone or with another."""
    spans = frames.stage("prefill", requests)
    found: defaultdict[float, list[float]] = defaultdict(list)
    prompts: dict[float, int] = {}
    for (_, start), batch in spans.groupby(["instance_id", "start_ns"]):
        length = -(-int(batch["prompt_tokens"].max()) // GRANULE) * GRANULE
        found[length * len(batch)].append((batch["end_ns"].iloc[0] - start) / 1e9)
        prompts[length * len(batch)] = len(batch)
    points = ((tokens, float(np.median(each))) for tokens, each in sorted(found.items()))
    return Passes(tuple(points), prompts)
