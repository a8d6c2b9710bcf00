"""The models whose mistakes are told with the keys that they have, by the names of their classes,
which is what pydantic's errors say of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel


@cache
def schema_of(title: str) -> Mapping[str, Any]:
    """Return the JSON schema of a model; empty if its errors are told in pydantic's words."""
    found = _models().get(title)
    return found.model_json_schema() if found else {}


def _models() -> Mapping[str, type[BaseModel]]:
    from workloads.catalogue.overrides import Overrides
    from workloads.generators import PROCESSES
    from workloads.lengths import KINDS
    from workloads.popularity import LAWS
    from workloads.synthesis import Population
    from workloads.trace import TraceFunction

    from ..choices import DeploymentChoice, SystemChoice
    from ..experiment import Experiment

    found: list[type[BaseModel]] = [Experiment, DeploymentChoice, SystemChoice, Overrides]
    found += [Population, TraceFunction, *PROCESSES.values(), *LAWS.values(), *KINDS.values()]
    return {each.__name__: each for each in found}
