"""Arrival processes, one per file, by the ``kind`` of a catalogue entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import WorkloadError
from .clusters import Clusters
from .diurnal import Diurnal
from .doubly_stochastic import DoublyStochastic
from .mmpp import MMPP2
from .process import Process
from .renewal import Gamma, HyperExponential, Poisson, Weibull
from .stationary_clusters import StationaryClusters

PROCESSES: Mapping[str, type[Process]] = {
    "clusters": Clusters,
    "stationary-clusters": StationaryClusters,
    "poisson": Poisson,
    "gamma": Gamma,
    "weibull": Weibull,
    "hyper-exponential": HyperExponential,
    "mmpp-2": MMPP2,
    "doubly-stochastic": DoublyStochastic,
    "diurnal": Diurnal,
}

__all__ = ["PROCESSES", "Process", "process"]


def process(about: Mapping[str, Any]) -> Process:
    """Build the process of a table such as ``{kind = "gamma", rate_rps = 2, cv = 4}``. Raises
    ``WorkloadError`` if its kind is unknown, and pydantic's error if a parameter is invalid."""
    kind = about.get("kind", "clusters")
    if kind not in PROCESSES:
        raise WorkloadError(f"process {kind!r} is unknown; known: {', '.join(PROCESSES)}")
    return PROCESSES[kind].model_validate(about)
