"""Sources with arrivals but without lengths.

Requests of one prompt token and one output token would measure only first tokens, so no import
creates them silently: lengths are drawn from a named distribution (``Options.lengths``), or the
provenance says that they are placeholders, and ``slbench workloads import`` refuses them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..lengths import MISSING, with_lengths
from ..trace import Workload
from .base import Options

LEFT_OUT = "left-out-without-lengths"
_ADVICE = "--lengths NAME draws them, such as --lengths llm-conv"


def filled(workload: Workload, options: Options) -> Workload:
    """Draw lengths as in ``options``, or else add placeholders of one token."""
    if options.lengths is not None:
        return with_lengths(workload, options.seed, *options.lengths)
    return workload.with_columns(workload.provenance.then(MISSING, requests=len(workload)))


def without_unknown(workload: Workload, known: Collection[str]) -> Workload:
    """Keep only the functions in ``known``; the provenance counts what was left out."""
    kept = workload.of_functions(known, workload.provenance)
    step = kept.provenance.then(
        LEFT_OUT,
        functions=len(workload.functions) - len(kept.functions),
        of_functions=len(workload.functions),
        requests=len(workload) - len(kept),
        of_requests=len(workload),
    )
    return kept.with_columns(step)


def remarks(workload: Workload) -> Iterator[str]:
    """Yield remarks about missing lengths for the user, one per line."""
    for step in workload.provenance.transforms:
        if step.name == LEFT_OUT:
            about = step.parameters
            yield (
                f"left out: {about['functions']} of {about['of_functions']} functions, with"
                f" {about['requests'] / about['of_requests']:.0%} of the requests, have no lengths"
                f" in the source; {_ADVICE}; they are then kept"
            )
