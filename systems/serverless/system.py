"""A serverless system: a policy set, carried out live or in virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from systems.access import AccessTokens, check_address
from systems.errors import DeploymentError, PolicyError
from systems.interface import (
    Deployment,
    Endpoint,
    Isolation,
    ServingSystem,
    SystemInfo,
    SystemTrace,
)
from systems.runtime.sandbox import confine

from .core.policies import PolicySet
from .core.policies.options_read import check_read
from .core.policies.registry import SEAMS, policy_set
from .live.cluster.launch import check_cluster
from .live.deployed import LiveDeployment
from .live.machine import check_machine, check_mps
from .live.plan import make_plan
from .options import Options

if TYPE_CHECKING:
    from systems.simulation.arrival import Load
    from systems.simulation.profile import Profile

    from .simulated.run import Outcome


class ServerlessSystem(ServingSystem):
    """Base of the serverless systems: a subclass is its name and its choice of policies."""

    policy_names: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Policies by seam, each by its name or as ``package.module:Class``. A seam that is missing
    here uses the default of ``PolicySet``."""
    kind: ClassVar[Literal["serverless", "serverful", "external"]] = "serverless"
    served_with: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"function_waiting": 2048, "caller_in_flight": 8192}
    )
    traces: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    clusters: ClassVar[bool] = True
    isolation_levels: ClassVar[tuple[Isolation, ...]] = ("function", "tenant", "backbone")

    def __init__(self) -> None:
        self._live: LiveDeployment | None = None
        self._options = Options()
        self._policies = self._chosen(self._options, {})
        self._confinement: tuple[str, ...] = ()

    @classmethod
    def known_policies(cls) -> Mapping[str, Sequence[str]]:
        return {name: seam.names for name, seam in SEAMS.items()}

    @classmethod
    def _chosen(cls, options: Options, replaced: Mapping[str, str]) -> dict[str, str]:
        return {"admission": options.admission, **cls.policy_names, **replaced}

    @classmethod
    def policies(cls, options: Options, replaced: Mapping[str, str] | None = None) -> PolicySet:
        """Build the policy set of this system under ``options``, with the policies in ``replaced``
        (seam → name or ``package.module:Class``). Raise ``PolicyError`` if one is unknown."""
        return policy_set(cls._chosen(options, replaced or {}), options)

    @classmethod
    def simulate(
        cls,
        deployment: Deployment,
        profile: Profile,
        load: Load,
        adapter_rank: int,
    ) -> Outcome:
        """Run ``load`` in virtual time."""
        from .simulated.run import simulate

        return simulate(
            deployment,
            cls.policies(Options.model_validate(dict(deployment.options)), deployment.policies),
            profile,
            load,
            adapter_rank=adapter_rank,
        )

    @classmethod
    def check_simulated(cls, deployment: Deployment, profile: Profile, adapter_rank: int) -> None:
        """Raise ``DeploymentError`` or ``ProfileError`` if ``deployment`` cannot be simulated with
        ``profile``, or could never answer."""
        from .simulated.run import check

        options = Options.model_validate(dict(deployment.options))
        policies = cls.policies(options, deployment.policies)
        try:
            check(deployment, policies, profile, adapter_rank=adapter_rank)
        except DeploymentError as error:
            raise DeploymentError(f"{cls.name}: {error}") from error

    def configure(self, deployment: Deployment) -> None:
        self.check_isolation(deployment.isolation)
        options = Options.read(deployment, self.name)
        policies = self._chosen(options, deployment.policies)
        try:
            check_read(options.changed, policies, options)
        except PolicyError as error:
            raise PolicyError(f"{self.name}: {error}") from error
        if options.shed and "admission" in deployment.policies:
            raise PolicyError(f"{self.name}: option shed is an admission policy; give one of them")
        self._options, self._policies = options, policies

    def check(self, deployment: Deployment) -> None:
        check_address(deployment, AccessTokens.of_environment())
        self.configure(deployment)
        make_plan(deployment, forks=policy_set(self._policies, self._options).forks)
        if deployment.cluster is None:
            check_machine(deployment)
        else:
            check_cluster(deployment)
        if self._options.mps:
            check_mps(deployment)

    def info(self) -> SystemInfo:
        try:
            installed = version("serverless-lora-bench")
        except PackageNotFoundError:
            installed = "not installed"
        policies = policy_set(self._policies, self._options).make().names | self._policies
        options = self._options.model_dump()
        return SystemInfo(
            self.name,
            installed,
            policies,
            options,
            self._confinement,
            self.system_trace().isolation_gaps,
        )

    def deploy(self, deployment: Deployment) -> Endpoint:
        self.check(deployment)
        self._confinement = confine.names(deployment.devices[0].kind)
        self._live = LiveDeployment(self.name, self._policies)
        return self._live.start(deployment)

    def system_trace(self) -> SystemTrace:
        return self._live.trace() if self._live else SystemTrace()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
