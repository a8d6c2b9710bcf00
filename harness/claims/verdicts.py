"""Every published result with our results and the verdicts, from the reference records."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ..errors import HarnessError
from ..places import reference_runs
from .claim import Claim, Finding, published
from .rules import judge
from .set_up import set_ups
from .sources import measures


def claims(reference: Path | None = None) -> list[Claim]:
    """Return one claim per published result, in the paper's order, with a finding for each set-up
    that tells something of it. ``reference``: the folder of the reference runs; None: those of the
    suite. Raises ``HarnessError`` if a reference record is missing."""
    folder = reference or reference_runs()
    known = {each.id: each for each in published()}
    found: dict[str, list[Finding]] = defaultdict(list)
    for set_up in set_ups():
        assumed = set_up.assumed(folder)
        for id_, measure in measures(set_up, folder).items():
            ours = measure()
            found[id_].append(
                Finding(
                    set_up.name, set_up.in_words(known[id_]), assumed, ours, judge(known[id_], ours)
                )
            )
    missing = [id_ for id_ in known if id_ not in found]
    if missing:
        raise HarnessError(f"claims without a measurement: {', '.join(missing)}")
    return [Claim(each, tuple(found[each.id])) for each in known.values()]
