"""The parts of the decision core, which share one state and one list of actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from systems.request_limits import Limiter

from . import actions as act
from .adapter_preparation import AdapterPreparation
from .adapters import AdapterManager
from .backbone_copies import BackboneCopies
from .dispatching import Dispatching
from .failing import Failing
from .host_templates import HostTemplates
from .instance_memory import InstanceMemory
from .keep_alive_manager import KeepAliveManager
from .policies import Policies
from .prompts_first import PromptsFirst
from .provisioning import Provisioning
from .releasing import Releasing
from .state import State


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers of events use. All parts append their actions to ``out``."""

    state: State
    policies: Policies
    limiter: Limiter
    out: list[act.Action]
    templates: HostTemplates
    copies: BackboneCopies
    releasing: Releasing
    preparation: AdapterPreparation
    provisioning: Provisioning
    keeping: KeepAliveManager
    adapters: AdapterManager
    prompts_first: PromptsFirst
    dispatching: Dispatching
    failing: Failing

    @classmethod
    def make(cls, state: State, policies: Policies, limiter: Limiter) -> Self:
        """Make the parts over ``state``."""
        out: list[act.Action] = []
        memory = InstanceMemory(state)
        copies, templates = BackboneCopies(state, policies, out), HostTemplates(state, out)
        releasing = Releasing(state, memory, out)
        preparation = AdapterPreparation(state, out)
        provisioning = Provisioning(
            state, policies, preparation, memory, copies, templates, releasing, out
        )
        keeping = KeepAliveManager(state, policies, provisioning, releasing, copies, out)
        adapters = AdapterManager(state, policies, out)
        prompts_first = PromptsFirst(state, policies.batching.prompts_first, out)
        dispatching = Dispatching(
            state, policies, provisioning, keeping, adapters, preparation, prompts_first, out
        )
        return cls(
            state=state,
            policies=policies,
            limiter=limiter,
            out=out,
            templates=templates,
            copies=copies,
            releasing=releasing,
            preparation=preparation,
            provisioning=provisioning,
            keeping=keeping,
            adapters=adapters,
            prompts_first=prompts_first,
            dispatching=dispatching,
            failing=Failing(state, limiter, releasing, keeping, prompts_first, dispatching, out),
        )
