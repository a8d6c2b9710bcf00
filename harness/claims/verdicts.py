"""Every published result with our results and the verdicts, from the reference records."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ..errors import HarnessError
from ..places import REFERENCE, reference_runs
from .claim import Claim, Finding, published
from .rules import judge
from .set_up import set_ups
from .sources import measures


def claims(reference: Path | None = None) -> list[Claim]:
    """Return one claim per published result, in the paper's order, with a finding for each set-up
    that tells something of it. ``reference``: the folder of the reference runs; None: those of the
    suite. Raises ``HarnessError`` if a reference record is missing."""
    folder = reference or reference_runs()
    _check_records(folder)
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


def _check_records(folder: Path) -> None:
    """Raise ``HarnessError`` where a record of a set-up is not in ``folder``."""
    records = dict.fromkeys(each.record for each in set_ups())
    missing = [record for record in records if not (folder / record).exists()]
    if len(missing) == len(records):
        raise HarnessError(
            f"--from {folder}: no reference records here; give a folder like {REFERENCE}"
        )
    if missing:
        raise HarnessError(f"--from {folder}: lacks the records {', '.join(missing)}")
