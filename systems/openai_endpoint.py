"""Any server that speaks OpenAI's HTTP API: one that is up, by URL, or one that a command starts.

What cannot be seen from outside is missing: stages and temperature always; memory, start-up time
and cost for a server that was not started here. The load asks for exact lengths (``ignore_eos``)
with prompts of token ids, as vLLM, SGLang and TGI's successors take them; the deployment's backbone
says which vocabulary they are drawn from.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from systems.errors import DeploymentError
from systems.interface import Deployment, SystemInfo
from systems.serverful.http import answers, checked_url, served_models
from systems.serverful.ports import ports
from systems.serverful.system import ServerPlan, ServerSystem


class Options(BaseModel):
    """Either ``url`` or ``command``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, AfterValidator(checked_url)] | None = None
    """With or without a closing ``/v1``."""
    command: str | None = None
    """Starts a server. ``{host}``, ``{port}`` and ``{backbone}`` (a directory) are filled in; a
    word ``{functions}`` becomes one word ``id=adapter`` for each function."""
    models: tuple[str, ...] = ()
    """Names that the server knows, dealt out to the functions in turn; none: the functions' own."""
    api_key_env: str | None = None
    """The environment variable that holds a key for ``Authorization: Bearer``; never recorded."""
    ttft_histogram: str | None = None
    """Of its Prometheus ``/metrics``, where it measures TTFT too."""
    start_timeout_s: PositiveFloat = 300.0
    threads: PositiveInt | None = None
    """CPU threads that a started server takes, for the bill; None: all cores."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("give url (a server that is up) or command (one that it starts)")
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
        options = self._options = Options.model_validate(dict(deployment.options))
        self._headers = _authorization(options.api_key_env)
        self.ttft_histogram = options.ttft_histogram
        ids = [function.id for function in deployment.functions]
        models = dict(zip(ids, cycle(options.models or ids), strict=False))
        if options.url is not None:
            url = options.url.rstrip("/").removesuffix("/v1")
            return [ServerPlan(self.name, (), url, models, threads=0)]
        (port,) = ports(deployment, 1)
        return [
            ServerPlan(
                name=self.name,
                command=_filled(options.command or "", deployment, port),
                base_url=f"http://{deployment.host}:{port}",
                models=models,
                threads=options.threads or len(os.sched_getaffinity(0)),
                device=deployment.devices[0].name if _on_cpu(deployment) else None,
            )
        ]

    def ready(self, plan: ServerPlan) -> bool:
        """A server that lists no models is taken at its word that it answers."""
        if served_models(plan.base_url, self._headers) is None:
            return answers(plan.base_url, self._headers)
        return super().ready(plan)


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
    """The words of ``command``, each placeholder replaced by what it stands for."""
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
