"""Any server with OpenAI's HTTP API: a running one, by URL, or one that a command starts.

Not observable from outside: stages and start types; for a server that was not started here, also
memory, start-up time and cost. The load requests exact output lengths (``ignore_eos``) and sends
prompts as token ids, which vLLM, SGLang and TGI's successors accept; the ids are drawn from the
vocabulary of the deployment's backbone. For other servers, workloads have ``prompts: chat`` (or
``text``) and ``ignore_eos: false``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from systems.errors import DeploymentError
from systems.interface import Deployment, SystemInfo
from systems.options import SystemOptions
from systems.serverful.http import answers, checked_url, served_models
from systems.serverful.ports import ports
from systems.serverful.system import ServerPlan, ServerSystem


class Options(SystemOptions):
    """Exactly one of ``url`` and ``command``."""

    url: Annotated[str, AfterValidator(checked_url)] | None = None
    """Of a running server, with or without a trailing ``/v1``."""
    command: str | None = None
    """Starts a server. ``{host}``, ``{port}`` and ``{backbone}`` (a directory) are substituted; a
    word ``{functions}`` becomes one word ``id=adapter`` per function."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """Variables of a started server, beside those of this process. They are recorded."""
    models: tuple[str, ...] = ()
    """Model names of the server, assigned to the functions in turn; empty: the function ids."""
    listed: tuple[str, ...] = ()
    """What ``/v1/models`` lists once the server is ready, if it lists other names than those that
    requests name (SGLang: adapter ``f0`` is requested as ``base:f0``); empty: ``models``."""
    api_key_env: str | None = None
    """Environment variable with a key for ``Authorization: Bearer``; the key is never recorded."""
    ttft_histogram: str | None = None
    """Name of the TTFT histogram in the server's Prometheus ``/metrics``, if it has one."""
    start_timeout_s: PositiveFloat = 300.0
    threads: PositiveInt | None = None
    """CPU threads of a started server, for its cost; None: all cores."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("give either url (a running server) or command (starts a server)")
        if self.environment and self.command is None:
            raise ValueError("environment is that of a server that command starts; give command")
        return self


class OpenAIEndpoint(ServerSystem):
    name = "openai-endpoint"
    kind: ClassVar[Literal["serverless", "serverful", "external"]] = "external"
    summary = "any OpenAI-compatible server, by URL or by the command that starts it"

    def __init__(self) -> None:
        super().__init__()
        self._options: Options | None = None

    @property
    def start_timeout_s(self) -> float:
        return self._options.start_timeout_s if self._options else 0.0

    def info(self) -> SystemInfo:
        options = self._options.model_dump() if self._options else {}
        return SystemInfo(self.name, "unknown", {}, options)

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        options = self._options = Options.read(deployment, self.name)
        self._headers = _authorization(options.api_key_env)
        self.ttft_histogram = options.ttft_histogram
        ids = [function.id for function in deployment.functions]
        models = dict(zip(ids, cycle(options.models or ids), strict=False))
        if options.url is not None:
            url = options.url.rstrip("/").removesuffix("/v1")
            return [ServerPlan(self.name, (), url, models, threads=0)]
        command = options.command or ""
        if "{port}" not in command and not deployment.port:
            raise DeploymentError(
                f"{self.name}: command has no {{port}}, so its server does not learn where to"
                " listen; write {port} in its place"
            )
        (port,) = ports(deployment, 1)
        return [
            ServerPlan(
                name=self.name,
                command=_filled(command, deployment, port),
                base_url=f"http://{deployment.host}:{port}",
                models=models,
                environment=options.environment,
                threads=options.threads or len(os.sched_getaffinity(0)),
                device=deployment.devices[0].name if _on_cpu(deployment) else None,
            )
        ]

    def ready(self, plan: ServerPlan) -> bool:
        """If the server lists no models, any response counts as ready."""
        listed = served_models(plan.base_url, self._headers)
        if listed is None:
            return answers(plan.base_url, self._headers)
        wanted = self._options.listed if self._options else ()
        return set(wanted) <= listed if wanted else super().ready(plan)


def _on_cpu(deployment: Deployment) -> bool:
    return deployment.devices[0].kind == "cpu"


def _authorization(variable: str | None) -> Mapping[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise DeploymentError(f"openai-endpoint: api_key_env: ${variable} is not set")
    return {"Authorization": f"Bearer {key}"}


def _filled(command: str, deployment: Deployment, port: int) -> list[str]:
    """Split ``command`` into words and substitute the placeholders."""
    if "{backbone}" in command and len(deployment.backbones) > 1:
        raise DeploymentError("openai-endpoint: {backbone} is one directory; deploy one backbone")
    values = {
        "{host}": deployment.host,
        "{port}": str(port),
        "{backbone}": str(next(iter(deployment.backbones.values()))),
    }
    words: list[str] = []
    for word in shlex.split(command):
        if word == "{functions}":
            words += [f"{each.id}={each.adapter}" for each in deployment.functions]
            continue
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        words.append(word)
    return words
