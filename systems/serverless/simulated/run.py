"""Runs a workload on a serverless system in virtual time; reproducible for a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from systems.errors import DeploymentError
from systems.grouping import group_id, groups
from systems.interface import Deployment, Function, MemoryStep, RequestTrace, SystemTrace
from systems.models.sizes import model_size
from systems.runtime import stages
from systems.simulation.arrival import Load
from systems.simulation.hardware import devices_per_node
from systems.simulation.latency_model import LatencyModel
from systems.simulation.number import Number
from systems.simulation.profile import Profile
from systems.simulation.regimes import REGIMES, Regime

from ..core.cluster_spec import ClusterSpec
from ..core.policies import PolicySet
from ..options import Options
from ..sizing import MachineSize, make_cluster_spec
from . import priors
from .fitting import check_memory
from .platform import Platform
from .running import Call


@dataclass(frozen=True)
class Outcome:
    """The outcome of a simulation."""

    platform: Platform
    profile: Profile

    def seen(self, request: int) -> dict[str, Any]:
        """Return the client's view of a request, times in ns: columns of the client's table."""
        call = self.platform.calls[request]
        back = round(self.profile.response_s.value * 1e9)
        ok = call.status == "ok"
        work = call.work
        started = bool(work.first_ns) and ok
        return {
            "first_token_ns": work.first_ns + back if started else None,
            "last_token_ns": work.last_ns + back if started else None,
            "output_tokens": work.output_tokens if ok else None,
            "status": call.status,
        }

    def system_trace(self) -> SystemTrace:
        return SystemTrace(
            requests=tuple(self._request(call) for call in self.platform.calls.values()),
            memory=tuple(map(_from_the_start, self.platform.kept.memory_steps)),
            activity=tuple(self.platform.kept.activities),
            decisions=tuple(self.platform.kept.decisions),
        )

    def deciding(self) -> Mapping[str, float]:
        """Return the decision times on this machine. Not part of the reproducible system trace."""
        return self.platform.decision_times.measured()

    def _request(self, call: Call) -> RequestTrace:
        ok = call.status == "ok"
        spans = tuple(self.platform.waited(call)) if ok else ()
        return RequestTrace(
            request_id=str(call.work.id),
            function_id=call.function,
            received_ns=call.received_ns,
            responded_ns=call.work.last_ns if ok else None,
            start_type=(
                stages.start_type(spans, started_for_it=call.started_for_it) if ok else None
            ),
            instance_id=None if call.instance is None else str(call.instance),
            batch_size=call.batch_size,
            spans=spans,
        )


def _from_the_start(step: MemoryStep) -> MemoryStep:
    """Return ``step``, which counts from the start of the load if it came before."""
    return step if step.t_ns >= 0 else replace(step, t_ns=0)


def check(
    deployment: Deployment, policies: PolicySet, profile: Profile, *, adapter_rank: int
) -> None:
    """Raise what :func:`simulate` raises, and ``DeploymentError`` for a function whose instances
    cannot start on any device."""
    regime = _regime(Options.model_validate(dict(deployment.options)), deployment)
    profile = regime.applied(profile)
    latency = _latency_models(deployment, profile, adapter_rank)
    check_memory(build_cluster_spec(deployment, policies, profile, latency), policies)


def simulate(
    deployment: Deployment,
    policies: PolicySet,
    profile: Profile,
    load: Load,
    *,
    adapter_rank: int = 16,
) -> Outcome:
    """Send ``load`` to a system with ``policies``, deployed on the machine
    that ``profile`` describes. Raise ``DeploymentError`` if its regime does not fit its isolation
    level."""
    kind = deployment.devices[0].kind
    options = Options.model_validate(dict(deployment.options))
    regime = _regime(options, deployment)
    profile = regime.applied(profile)
    latency = _latency_models(deployment, profile, adapter_rank)
    cluster = build_cluster_spec(deployment, policies, profile, latency)
    timeout_ns = round(deployment.limits.request_timeout_s * 1e9)
    platform = Platform(
        cluster,
        policies,
        profile,
        latency,
        timeout_ns=timeout_ns,
        prewarmed=options.prewarmed if policies.forks and kind == "cuda" else 0,
        piece_tokens=_piece_tokens(options, profile),
        mixed_passes=options.mixed_passes,
        regime=regime,
        adapter_tier_bytes=options.adapter_tier_bytes,
        trace_decisions=options.trace_decisions,
        caller_limits=options.caller_limits,
        ended=load.ended,
    )
    platform.deploy()
    there_ns, back_ns = (
        round(each.value * 1e9) for each in (profile.request_s, profile.response_s)
    )
    load.drive(platform.clock, platform.submit, there_ns, back_ns)
    return Outcome(platform, profile)


def _regime(options: Options, deployment: Deployment) -> Regime:
    regime = REGIMES[options.regime]
    if not regime.joins and deployment.isolation != "function":
        raise DeploymentError(
            f"regime={regime.name}: only functions with instances of their own run batches to"
            f" completion, not isolation level {deployment.isolation}; set isolation=function"
        )
    return regime


def _latency_models(
    deployment: Deployment, profile: Profile, adapter_rank: int
) -> Mapping[str, LatencyModel]:
    """Return the latency models by group. Raise ``ProfileError`` if functions share instances and
    the profile has no numbers for that."""
    kind, dtype = deployment.devices[0].kind, deployment.dtype
    sizes = {
        name: model_size(str(path), dtype, adapter_rank, kind)
        for name, path in deployment.backbones.items()
    }

    def model(members: Sequence[Function]) -> LatencyModel:
        size = sizes[members[0].backbone]
        if len(members) == 1:
            return LatencyModel(profile, size)
        return LatencyModel.of_grouped(*profile.of_grouped(dtype), size)

    members_of = groups(deployment.functions, deployment.isolation)
    return {name: model(members) for name, members in members_of.items()}


def build_cluster_spec(
    deployment: Deployment,
    policies: PolicySet,
    profile: Profile,
    latency: Mapping[str, LatencyModel],
) -> ClusterSpec:
    """Build the cluster spec, which the controller decides by, from the profile and the latency
    models by group."""
    forks = policies.forks
    of = {each: latency[group_id(each, deployment.isolation)] for each in deployment.functions}

    return make_cluster_spec(
        deployment,
        Options.model_validate(dict(deployment.options)),
        _machine(deployment, profile, forks=forks),
        {each.backbone: law.size.weights_bytes for each, law in of.items()},
        {each: priors.function_size(law) for each, law in of.items()},
        forks=forks,
    )


def _machine(deployment: Deployment, profile: Profile, *, forks: bool) -> MachineSize:
    context = profile.forked_context_bytes if forks else profile.context_bytes
    return MachineSize(
        slots=_slots(deployment, profile),
        kv_slots=profile.kv_slots,
        context_bytes=round(context.value),
        bare_bytes=_value(profile.bare_bytes),
        host_bytes=round(profile.host_bytes.value),
        dormant_bytes=round(profile.dormant_bytes.value),
        template_bytes=round(profile.template_bytes.value),
        template_host_bytes=_value(profile.template_host_bytes),
        peer_access=profile.peer_bytes_per_s is not None,
        devices_per_host=devices_per_node(profile),
    )


def _piece_tokens(options: Options, profile: Profile) -> int | None:
    """Return the most prompt tokens between two decode steps; None: whole prompts."""
    chosen = options.prompt_piece_tokens
    if chosen == "auto":
        return profile.prompt_piece_tokens
    return None if chosen == "whole" else chosen


def _value(number: Number | None) -> int:
    return round(number.value) if number else 0


def _slots(deployment: Deployment, profile: Profile) -> int:
    """Return the batches computed at once, as the live platform counts them on the host's cores."""
    cores = int(profile.cores.value)
    return max(1, int(profile.device_slots.value) or cores // deployment.instance_threads(cores))
