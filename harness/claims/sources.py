"""What reads the record of a set-up: for each claim that it tells something of, how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..records import open_run
from .accounted import Accounted
from .breakdown import stages_paid
from .claim import Ours
from .evaluation import Evaluation
from .live import Live
from .others import Throughput, decision_time
from .set_up import SetUp

Measures = Mapping[str, Callable[[], Ours]]
"""By the id of a claim."""

SOURCES: Mapping[str, Callable[[SetUp, Path], Measures]] = {
    "accounted": lambda set_up, record: Accounted.of_study(set_up, record).measures(),
    "breakdown": lambda _, record: {"breakdown": lambda: stages_paid(open_run(record))},
    "decisions": lambda _, record: {"scheduler-overhead": lambda: decision_time(record)},
    "evaluation": lambda _, record: Evaluation(open_run(record)).measures(),
    "live": lambda set_up, record: Live(open_run(record), set_up.ours, set_up.baselines).measures(),
    "live-accounted": lambda set_up, record: Accounted.of_run(set_up, open_run(record)).measures(),
    "live-throughput": lambda set_up, record: Throughput.of_run(
        open_run(record), set_up.ours, set_up.baselines
    ).measures(),
    "throughput": lambda set_up, record: Throughput.of_study(
        record, windowed=set_up.windowed
    ).measures(),
}


def measures(set_up: SetUp, reference: Path) -> Measures:
    """Return how ``set_up`` measures each claim that it is of use for."""
    found = SOURCES[set_up.source](set_up, reference / set_up.record)
    return {id_: found[id_] for id_ in set_up.only or found}
