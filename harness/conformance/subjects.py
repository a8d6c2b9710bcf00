"""The deployments that the suite checks: of a system, or of an existing server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.cells.deployments import deployment_for
from systems.errors import DeploymentError, UnreachableError
from systems.interface import Deployment, Device, Function
from systems.serverful.http import list_models

from ..choices import DeploymentChoice, SystemChoice
from ..errors import HarnessError
from ..experiment_files import parse_setting
from ..mistakes import noted
from ..replay.target import Target

_SMALL = {
    "device_memory_gib": 2,
    "limits": {"max_context_tokens": 256, "keep_alive_s": 60, "threads_per_instance": 1},
}
_FUNCTIONS = 3
_OF_THE_SYSTEM = ("options", "policies", "isolation")
"""Keys of ``settings`` that belong to the system's choice."""


def deployed(
    system: str,
    backbone: str,
    adapters: Sequence[Path],
    functions: int | None,
    settings: Sequence[str],
) -> Deployment:
    """Build a deployment of ``functions`` (None: one for each of ``adapters``, or three) with an
    adapter each: one of ``adapters``, or a seeded one if there are none. ``settings`` as in
    ``--set``."""
    changes = dict(parse_setting(text) for text in settings)
    asked = {key: changes.pop(key) for key in _OF_THE_SYSTEM if key in changes}
    given = {"backbone": backbone, "adapters": tuple(adapters), **_SMALL}
    with noted("deployment"):
        choice = DeploymentChoice.model_validate({**given, **changes})
    with noted(system):
        chosen = SystemChoice(name=system, **asked)
    ids = [f"f{index}" for index in range(functions or len(adapters) or _FUNCTIONS)]
    return deployment_for(choice, chosen, ids)


def reached(url: str, models: Sequence[str], api_key_env: str | None) -> Deployment:
    """Build a deployment with a function for each of ``models``, or for each model that the server
    at ``url`` lists. Raises ``HarnessError`` if the URL is invalid or no model is listed, and
    ``UnreachableError`` if no server responds."""
    Target.parse(url)
    base_url = url.rstrip("/").removesuffix("/v1")
    names = list(models) or _listed(base_url, os.environ.get(api_key_env or "", ""))
    ids = [f"f{index}" for index in range(len(names))]
    return Deployment(
        functions=tuple(Function(id=id_, backbone="external") for id_ in ids),
        backbones={"external": Path()},
        # Nothing is deployed there. A deployment needs a device, but its size is never read.
        devices=(Device(name="cpu:0", memory_bytes=1),),
        options={"url": base_url, "models": tuple(names), "api_key_env": api_key_env},
    )


def _listed(base_url: str, key: str) -> list[str]:
    try:
        names = list_models(base_url, {"Authorization": f"Bearer {key}"} if key else {})
    except UnreachableError:
        raise
    except DeploymentError as error:
        raise HarnessError(
            f"{error}; name its models with --model, or the variable of its key with --api-key-env"
        ) from error
    if not names:
        raise HarnessError(f"{base_url}: lists no models; name them with --model")
    return sorted(names)
