"""Runs every check on one system, and checks that nothing is left after its stop."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Literal

import psutil

from systems.interface import Deployment, Endpoint, ServingSystem

from ..cells.isolation import groups_of
from ..replay.target import Target
from .check import CHECKS, Check, NotConformingError, NotTestableError, Subject

_GONE_S = 5.0
_MODULES = ("protocol", "isolation", "evidence")
"""These modules register their checks, in this order."""

for _name in _MODULES:
    importlib.import_module(f"{__package__}.{_name}")

STOPS = "stops without leaving a process or a port"


@dataclass(frozen=True)
class Result:
    """``why``: reason of a failure, or why the check does not apply."""

    check: str
    outcome: Literal["passed", "failed", "not testable"]
    why: str = ""


def examine(system: ServingSystem, deployment: Deployment) -> Iterator[Result]:
    """Deploy ``deployment``, check, stop; results as they come. Raises what ``deploy`` raises."""
    system.configure(deployment)
    with system:
        endpoint = system.deploy(deployment)
        subject = Subject(
            endpoint=endpoint,
            functions=[function.id for function in deployment.functions],
            batch=deployment.limits.max_batch_size,
            system_trace=system.system_trace,
            groups=groups_of(type(system), deployment),
        )
        for name, check in CHECKS.items():
            yield _run(name, check, subject)
        family = _family(endpoint.pids)
    yield _run(STOPS, lambda _: _check_gone(endpoint, family), subject)


def _run(name: str, check: Check, subject: Subject) -> Result:
    try:
        check(subject)
    except NotTestableError as reason:
        return Result(name, "not testable", str(reason))
    except NotConformingError as failure:
        return Result(name, "failed", str(failure))
    except (OSError, ValueError, HTTPException) as error:
        return Result(name, "failed", f"{type(error).__name__}: {error}")
    return Result(name, "passed")


def _family(pids: Sequence[int]) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [each for root in roots for each in (root, *root.children(recursive=True))]


def _check_gone(endpoint: Endpoint, family: Sequence[psutil.Process]) -> None:
    if not family:
        raise NotTestableError("the system was not started here")
    _, left = psutil.wait_procs(family, timeout=_GONE_S)
    if left:
        raise NotConformingError(f"{len(left)} of {len(family)} processes still run")
    urls = {endpoint.route(model).base_url for model in endpoint.models}
    for target in map(Target.parse, sorted(urls)):
        with socket.socket() as probe:
            if probe.connect_ex((target.host, target.port)) == 0:
                raise NotConformingError(f"port {target.port} still accepts connections")
