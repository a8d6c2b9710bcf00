"""The experiment that a command runs: a named one, with the options of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from systems.errors import UnknownSystemError
from systems.registry import system_names
from workloads.unknown import unknown

from ..errors import HarnessError
from ..experiment import Experiment
from ..experiment_files import load, parse_setting
from ..simulable import without_live_only


def named(experiment: str | None, command: str, record: str) -> str:
    """Return the name. Raise ``HarnessError`` if none is given: a command needs it unless it
    resumes a ``record``."""
    if experiment is None:
        raise HarnessError(f"{command}: name an EXPERIMENT, or a {record} with --resume")
    return experiment


def mode(simulated: bool | None) -> str | None:
    """Return the mode that ``--simulated`` or ``--live`` asks for; None: the experiment's own."""
    if simulated is None:
        return None
    return "simulated" if simulated else "live"


def choose(
    name: str,
    systems: list[str] | None,
    workloads: list[str] | None,
    given: dict[str, Any],
    settings: list[str] | None,
) -> Experiment:
    """Return the named experiment with the command-line options applied, if it is simulated without
    the systems that run live only. Raise ``HarnessError`` for a profile of a live run, which has
    none: who gives one means a simulation."""
    changes: dict[str, Any] = dict(parse_setting(text) for text in settings or [])
    changes |= {key: value for key, value in given.items() if value is not None}
    # Checked below against the systems that are left.
    baseline = changes.pop("baseline", None)
    content = _content(load(name, changes))
    if given.get("profile") and content["mode"] == "live":
        raise HarnessError(
            f"--profile {given['profile']}: is of a simulation, and this run is live; add"
            " --simulated, or leave it out"
        )
    for key, wanted in (("systems", systems), ("workloads", workloads)):
        if wanted:
            picked = [each for named in wanted for each in _picked(named, content[key], key)]
            content[key] = list({each.get("label", each["name"]): each for each in picked}.values())
    left = [each.get("label", each["name"]) for each in content["systems"]]
    if baseline or content["baseline"] not in left:
        content["baseline"] = baseline
    return without_live_only(Experiment.model_validate(content))


def _content(loaded: Experiment) -> dict[str, Any]:
    """Return its keys, without figures that it does not name: they follow from what is chosen."""
    unnamed = {"figures"} - loaded.model_fields_set
    return loaded.model_dump(exclude=unnamed)


def _picked(named: str, choices: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the choice with the label ``named``, else all with this name, else a new one. Raise
    ``UnknownSystemError`` if it would be a system that there is not: it may be a mistyped label."""
    for told in ("label", "name"):
        if found := [each for each in choices if each[told] == named]:
            return found
    known = system_names()
    if key == "systems" and named not in known:
        labels = {each["label"] for each in choices}
        raise UnknownSystemError(unknown("system", named, sorted(labels.union(known))))
    return [{"name": named}]
