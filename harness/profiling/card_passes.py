"""The time of a card's passes over prompts, by the tokens that they compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from systems.engine.cuda.buckets import TILE, tile_bucket, tiles_of

from .batch_fit import least_squares
from .found import Found, Points, undisturbed
from .frames import Frames, StageSpan

if TYPE_CHECKING:
    from .card_steps import Decoding


@dataclass(frozen=True)
class Passes:
    """The time of a pass in s by its tokens, padding included."""

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
                f"passes of a hot instance by tokens, lower quartiles, over {gparams:.4g}e9"
                " parameters",
            ),
        }


def passes(frames: Frames, alone: Sequence[int], two: Sequence[int]) -> Passes:
    """``alone``: requests whose prompts are computed one at a time; ``two``: two in one pass. Other
    batches of these do not count: something else delayed them."""
    found: defaultdict[float, list[float]] = defaultdict(list)
    prompts: dict[float, int] = {}
    for count, requests in ((1, alone), (2, two)):
        for batch in _batches(frames.stage("prefill", requests)):
            if len(batch) == count:
                tokens = tile_bucket(sum(tiles_of(each.prompt_tokens) for each in batch)) * TILE
                found[tokens].append(batch[0].seconds)
                prompts[tokens] = count
    points = ((tokens, undisturbed(each)) for tokens, each in sorted(found.items()))
    return Passes(tuple(points), prompts)


def mixed_saved(
    frames: Frames, running: Sequence[int], prompts: Sequence[int], apart: Passes, alone: Decoding
) -> Points:
    """Return what a pass over each of ``prompts`` took less than it and a step apart do, in s by
    tokens: it also computed a token of each of ``running`` that decoded meanwhile."""
    pass_s, found = dict(apart.points), defaultdict[float, list[float]](list)
    rows = dict(alone.rows)
    decodes = frames.stage("decode", running)
    for span in frames.stage("prefill", prompts):
        tokens = float(tile_bucket(tiles_of(span.prompt_tokens)) * TILE)
        cached = [
            each.cached_at(span.start_ns)
            for each in decodes
            if each.start_ns < span.start_ns and span.end_ns < each.end_ns
        ]
        if len(cached) in rows:
            found[tokens].append(span.seconds - alone.step_s(len(cached), fmean(cached)))
    return tuple(
        (tokens, max(pass_s[tokens] - undisturbed(each), 0.0))
        for tokens, each in sorted(found.items())
    )


def _batches(spans: Sequence[StageSpan]) -> Iterable[Sequence[StageSpan]]:
    found: defaultdict[tuple[str, int], list[StageSpan]] = defaultdict(list)
    for span in spans:
        found[span.instance_id, span.start_ns].append(span)
    return found.values()
