"""What the serverless systems let one set beside the limits that all systems share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from .core.estimates import RATES, Rate
from .core.policies.admission import Admission, AdmitAll, ShedHopeless
from .core.world import FunctionSpec


class Options(BaseModel):
    """Of one serverless system; where the paper is silent, what it left open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared_keep_alive_s: PositiveFloat = 60.0
    """How long a shared backbone outlives its last instance."""
    container_keep_alive_s: NonNegativeFloat = 60.0
    """How long after its last request a container may hold any artifact at all."""
    container_memory_gib: NonNegativeFloat = 64.0
    """Host memory for containers of which nothing is left on a device."""
    rate: Literal["sliding-window", "exponential"] = "sliding-window"
    rate_window_s: PositiveFloat = 60.0
    """Window of the rate estimator, or its time constant."""
    max_prefills: NonNegativeInt = 0
    """Cap on M, the batches in their prefill at once on a device; 0: no bound."""
    batch_hold: Literal["contended", "always"] = "contended"
    """Whether a batch that is not full is held back on a device that has none in its prefill."""
    batch_delay_s: PositiveFloat | None = None
    """Hold a batch for this long at most (the reading *d*); None: until its slack is used up."""
    shed: bool = False
    """Turn requests away (429) that cannot meet their SLO; off as in the paper."""
    template: Literal["libraries", "containers"] = "libraries"
    """What instances are forked from: a process that holds the libraries, or (as the paper's
    figure shows it) warm containers that import them on a function's first call."""
    template_at_deployment: bool = False
    """Whether the endpoint answers only once the template is there, as a provider would keep one
    warm; what it holds is counted from then on. Else the first call to fork starts it."""
    spares: NonNegativeInt = 0
    """On a card: processes forked of the template that hold context, kernels and graphs for each
    shared backbone that is resident, and become the next functions' instances. Their device memory
    is reserved with the template's."""
    overlap_loading: bool = True
    """Whether a shared backbone is read while its first instance still starts; the paper's order
    of precedence, libraries first, is without."""
    trace_decisions: bool = False
    """Keep every choice of the decision core with the numbers that made it."""
    audit_s: PositiveFloat | None = None
    """Live: seconds between two sums of each shared backbone, where it lies. None: it is not
    audited. On a card ``auditor_bytes`` are set aside for it."""
    cuda_sharing: Literal["auto", "descriptor", "cuda-ipc"] = "auto"
    """Live, on a card: what a shared backbone is mapped by. auto: a descriptor, which grants
    instances reading alone, where the driver has that."""
    mps: bool = False
    """Live, on a card: let processes compute side by side by CUDA's MPS, a daemon of the
    platform's own. A fault of one of them then ends the others' contexts."""
    release_grace_s: PositiveFloat = 30.0
    """How long an instance may take to let go of what it was told to: a request that was cancelled
    or timed out, artifacts. Then it is ended, and its other requests fail. More than its longest
    step, which nothing interrupts."""
    start_attempts: PositiveInt = 2
    context_bytes: NonNegativeInt = 320 << 20
    """Live: reserved on the device for each process that imported its own libraries, beside
    weights, adapter and KV cache. Measured: its unique memory (USS) on the CPU, torch 2.13."""
    forked_context_bytes: NonNegativeInt = 40 << 20
    """The same for one that was forked from the template: what it does not share with it."""
    cuda_context_bytes: NonNegativeInt = 672 << 20
    """On a card: context, kernels, graphs and workspaces of a process, beside weights, adapter and
    keys and values. Reserved for every process, forked or not. Measured on an H100: 538 MiB, and
    130 more once it has run prompts of a thousand tokens."""
    cuda_bare_bytes: NonNegativeInt = 464 << 20
    """Of those, what a process keeps on the card until it ends, since a CUDA context and the code
    loaded into it cannot be given back before. Measured: 392 to 460 MiB."""
    auditor_bytes: NonNegativeInt = 600 << 20
    """On a card, with ``audit_s``: context and workspace of the process that sums."""
    template_bytes: NonNegativeInt = 400 << 20
    """Of the template, reserved once: its proportional memory beside eight forks, and theirs in
    it."""

    def spares_bytes(self, specs: Mapping[str, FunctionSpec]) -> int:
        """Of the spares of every backbone, each as large as its largest function at rest, and a
        request's keys and values for the one that is being made."""
        at_rest: dict[str, int] = {}
        slot: dict[str, int] = {}
        for spec in specs.values():
            own = spec.context_bytes + spec.adapter_bytes
            at_rest[spec.backbone] = max(own, at_rest.get(spec.backbone, 0))
            slot[spec.backbone] = max(spec.kv_slot_bytes, slot.get(spec.backbone, 0))
        return self.spares * sum(at_rest.values()) + bool(self.spares) * sum(slot.values())

    def new_rate(self) -> Rate:
        return RATES[self.rate](round(self.rate_window_s * 1e9))

    def admission(self) -> Admission:
        return ShedHopeless() if self.shed else AdmitAll()
