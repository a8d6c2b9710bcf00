"""Options of the serverless systems, in addition to the limits that all systems share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from systems.options import SystemOptions
from systems.request_limits import RequestLimits

from .core.cluster_spec import GroupSpec
from .core.estimates import RATES, Rate

_SHARED_BATCH = 64
_PIECE_TOKENS = {"cpu": 64, "cuda": 512}
MOST_PARSERS = 4
"""Parsers of adapters of a host at the same time; other functions wait."""


class Options(SystemOptions):
    """Options of one serverless system, including parameters that the paper leaves open."""

    shared_keep_alive_s: PositiveFloat = 60.0
    """How long a shared backbone is kept after its last instance ends."""
    container_keep_alive_s: NonNegativeFloat = 600.0
    """How long after its last request a container may hold any artifact: what pre-loading has to
    work with, since an instance that is not kept needs none. Ten minutes is OpenWhisk's default
    (``idle-container``); it must exceed the keep-alive, or every container ends with it."""
    container_memory_gib: NonNegativeFloat = 64.0
    """Host memory for containers that hold nothing on a device."""
    adapter_tier_gib: NonNegativeFloat = 32.0
    """Shared groups: host memory for parsed adapters, least recently used out first."""
    rate: Literal["sliding-window", "exponential"] = "sliding-window"
    rate_window_s: PositiveFloat = 60.0
    """Window of the rate estimator, or its time constant."""
    max_prefills: NonNegativeInt = 0
    """Cap on M, the batches of a device in their prefill at the same time; 0: unbounded."""
    batch_hold: Literal["contended", "always"] = "contended"
    """Whether a partial batch waits only until it pays to delay what runs on its device, or always
    for its slack."""
    prompts_first: bool = False
    """Where processes take turns on a device: whether the others pause decoding while one computes
    prompts, for as long as these are expected to take at most. First tokens come earlier and later
    ones later: off."""
    batch_delay_s: PositiveFloat | None = None
    """The longest wait of a batch (the reading *d*); None: until its slack is used up."""
    prompt_piece_tokens: PositiveInt | Literal["auto", "whole"] = "auto"
    """The most prompt tokens that an instance computes between two decode steps of its running
    requests. auto: live 512 on a GPU (about 15 ms for 7B on an H100), 64 on the CPU (about 0.15 s
    for SmolLM2-135M on two cores; eight such pieces take a quarter longer than their prompt at
    once); simulated, what the device profile says. While no request decodes, prompts are computed
    whole. A mixed pass computes no more than 512, whatever this says."""
    mixed_passes: bool = True
    """On a GPU: whether a pass over prompts also computes the next token of each running request
    (hybrid batches of Sarathi-Serve, Agrawal et al., OSDI 2024), or a decode step of its own does.
    Both at once read the weights once: answers are complete sooner, and more are at peak load. At
    low load their first tokens come a little later."""
    regime: Literal["continuous", "run-to-completion"] = "continuous"
    """How an engine runs batches. run-to-completion is presumed of the paper; simulated and at
    isolation level function only: no request joins a batch that runs, each reserves a slot for a
    full context until the batch ends, and decode steps do not grow with the batch."""
    shed: bool = False
    """Reject requests that cannot meet their SLO (429); off, as in the paper."""
    fair_shares: bool = False
    """Under contention, serve the tenants whose requests wait for a device in turn, a request each,
    and weigh margins only within a turn; off, as in the paper, where a tenant that sends more than
    others has the smallest margins. A function without a tenant is its own tenant."""
    function_in_flight: PositiveInt | None = None
    """The most requests of each function that wait or run; further ones are rejected (429). None:
    any number."""
    function_waiting: PositiveInt | None = None
    """The most requests of each function that wait for an instance; None: any number."""
    function_rate: PositiveFloat | None = None
    """The most requests a second to each function, after a burst; None: any number."""
    function_burst: PositiveInt = 8
    """With ``function_rate``: the requests that may come at once after a pause."""
    caller_in_flight: PositiveInt | None = None
    """The most requests that each caller may have in flight; further ones are rejected (429) before
    they are read. A caller is a token; without tokens all requests are one caller's, as in a
    simulation. None: any number."""
    caller_rate: PositiveFloat | None = None
    """The most requests a second of each caller, after a burst; None: any number."""
    caller_burst: PositiveInt = 8
    """With ``caller_rate``: the requests that may come at once after a pause."""
    template: Literal["libraries", "containers"] = "libraries"
    """What instances are forked from: a process that holds the libraries, or (as in the paper's
    figure) warm containers that import them at a function's first call."""
    takeover: Literal["off", "container", "libraries"] = "off"
    """InstaInfer: whether a function without a container takes over one that another function left
    idle. *container*: the process passes over and loads libraries and model again, as in the
    paper's figure, simulated only; *libraries*: it keeps the libraries, which all functions of a
    live platform have in common. What isolation this gives up is in SECURITY.md."""
    template_at_deployment: bool = False
    """Start the template before the endpoint is ready, as a provider would keep one warm; its
    memory counts from then on. Otherwise the first fork starts it."""
    adapters_at_deployment: bool = False
    """Shared groups: parse adapters from deployment on, in the order of the functions, as many as
    fit ``adapter_tier_gib``; also start the template, from which parsers are forked. The endpoint
    does not wait for them. Otherwise an adapter is parsed when its function is first called."""
    backbones_at_deployment: bool | Literal["every-device"] = False
    """Before the endpoint is ready, load each shared backbone on one device of each host, devices
    in turn, or on every device, where it fits, and fill its warm pool there; also start the
    template. Memory counts from then on, and a backbone that stays unused is dropped after
    ``shared_keep_alive_s``. Otherwise the first call of one of its functions loads it."""
    prewarmed: NonNegativeInt = 0
    """GPU only: size of the warm pool of each shared backbone on each GPU that holds it. Its
    prewarmed processes are forked from the template, hold context, kernels and graphs, and become
    instances of functions that start or wake. Their device memory is reserved and billed with the
    copy that they map, so none by default; as many as functions start or wake within seconds are of
    use. With ``backbones_at_deployment``, a deployment ends once they are prepared."""
    peer_copies: bool = True
    """Several GPUs of a machine: copy a shared backbone from a GPU that has it, over NVLink where
    there is one, so that a machine reads it once. Otherwise, and where GPUs cannot reach each
    other, each GPU's copy is read from the page cache. With ``prewarmed``, a loader stands by on
    each GPU with its CUDA context started, which takes longer than the copy; its memory
    (``cuda_bare_bytes``) is reserved and billed with the template's."""
    adapter_places: PositiveInt = 64
    """The largest number of adapters that an instance of several functions holds on its device at
    the same time; it has no more places than its group has functions."""
    max_adapter_rank: PositiveInt | None = None
    """Live: the largest rank that an adapter may have on any projection; None: any. A place has the
    largest rank of its group's adapters, so one adapter makes the places of all others larger."""
    shared_batch_size: PositiveInt | None = None
    """The largest number of requests that an instance of several functions runs at the same time;
    None: the batch limit times its functions, at most 64."""
    overlap_loading: bool = True
    """Whether a shared backbone is read while its first instance still starts; without it, the
    paper's order of precedence holds, libraries first."""
    trace_decisions: bool = False
    """Record every decision of the core with the numbers that it was based on."""
    audit_s: PositiveFloat | None = None
    """Live: seconds between two checksums of each shared backbone; None: no audits. On a GPU
    ``auditor_bytes`` are reserved for them."""
    cuda_sharing: Literal["auto", "descriptor", "cuda-ipc"] = "auto"
    """Live, on a GPU: how a shared backbone is mapped. auto: by a descriptor, which grants
    instances only read access, if the driver supports it."""
    mps: bool = False
    """Live, on a GPU: let processes compute concurrently through CUDA MPS, with a daemon of this
    platform. A fault of one process then ends the contexts of the others."""
    release_grace_s: PositiveFloat = 30.0
    """How long an instance may take to release artifacts or a request that was cancelled or timed
    out. After that it is ended, and its other requests fail. Must exceed its longest step, which
    cannot be interrupted."""
    nodes_timeout_s: PositiveFloat = 1800.0
    """On a cluster: how long its first nodes may take to be in use. Each checks its models, makes
    those that come from a seed (a 13B backbone takes minutes), compiles kernels and fills its warm
    pools. A node that fails ends the deployment at once."""
    start_attempts: PositiveInt = 2
    context_bytes: NonNegativeInt = 320 << 20
    """Live: reserved on the device for each process that imported its own libraries, in addition
    to weights, adapter and KV cache. Measured: its unique memory (USS) on the CPU, torch 2.13."""
    forked_context_bytes: NonNegativeInt = 40 << 20
    """The same for a process forked from the template: the memory that it does not share."""
    cuda_context_bytes: NonNegativeInt = 564 << 20
    """On a GPU: context, kernels, graphs and workspaces of a process, in addition to weights,
    adapter and KV cache. Reserved for every process, forked or not. Measured on an H200 with a 7B
    shape: 537 MiB of a process for 32 requests at a time, 563 for 128."""
    cuda_bare_bytes: NonNegativeInt = 464 << 20
    """The part of these that a process keeps on the GPU until it ends, since a CUDA context and its
    loaded code cannot be freed before. Measured: 392 to 460 MiB."""
    auditor_bytes: NonNegativeInt = 600 << 20
    """On a GPU, with ``audit_s``: context and workspace of the process that computes checksums."""
    template_bytes: NonNegativeInt = 400 << 20
    """Reserved once for the template: its proportional memory with eight forks, including their
    share of it."""

    @property
    def early_template(self) -> bool:
        """Whether each host starts its template before the first request."""
        return (
            self.template_at_deployment
            or self.adapters_at_deployment
            or bool(self.backbones_at_deployment)
        )

    @property
    def adapter_tier_bytes(self) -> int:
        return round(self.adapter_tier_gib * 2**30)

    def piece_tokens(self, device: str) -> int | None:
        """Return ``prompt_piece_tokens`` for a kind of device; None: whole prompts."""
        if self.prompt_piece_tokens == "whole":
            return None
        return (
            _PIECE_TOKENS[device]
            if self.prompt_piece_tokens == "auto"
            else self.prompt_piece_tokens
        )

    def batch_limit(self, of_one: int, functions: int) -> int:
        """Return how many requests an instance of ``functions`` functions runs at the same time;
        ``of_one``: one of a single function."""
        if functions == 1:
            return of_one
        return self.shared_batch_size or min(of_one * functions, _SHARED_BATCH)

    def pool_bytes(self, groups: Iterable[GroupSpec]) -> Mapping[str, int]:
        """Return the device memory of a warm pool by backbone: each process as large as the
        backbone's largest idle instance, plus one request's KV cache for the process in
        preparation."""
        at_rest: dict[str, int] = {}
        slot: dict[str, int] = {}
        for spec in groups:
            own = spec.context_bytes + spec.adapter_bytes + spec.places_bytes
            at_rest[spec.backbone] = max(own, at_rest.get(spec.backbone, 0))
            slot[spec.backbone] = max(spec.kv_slot_bytes, slot.get(spec.backbone, 0))
        count = self.prewarmed
        return {name: count * own + bool(count) * slot[name] for name, own in at_rest.items()}

    def new_rate(self) -> Rate:
        return RATES[self.rate](round(self.rate_window_s * 1e9))

    @property
    def function_limits(self) -> RequestLimits:
        """What each function may have in flight and waiting, and its rate."""
        return RequestLimits(
            self.function_in_flight, self.function_waiting, self.function_rate, self.function_burst
        )

    @property
    def caller_limits(self) -> RequestLimits:
        """What each caller may have in flight, and its rate."""
        return RequestLimits(self.caller_in_flight, None, self.caller_rate, self.caller_burst)

    @property
    def admission(self) -> str:
        """The name of the admission policy that ``shed`` asks for."""
        return "shed-hopeless" if self.shed else "all"
