"""vLLM itself in the two common deployments for adapters, with settings that suit them.

*Shared*: one server per backbone with all its adapters (S-LoRA-like batches across adapters).
*Dedicated*: one server per function. ``max_loras`` is the number of adapters, so that none waits
for a slot; concurrent requests are limited to the deployment's batch limit times the functions;
backbone and adapters are loaded before the first request, which is part of the start-up time.

The executable is ``$SLBENCH_VLLM``, else ``.venv-vllm/bin/vllm`` beside the package, which
``make vllm`` installs.
Source of flags and variables: the help of ``vllm serve`` and ``vllm/envs.py`` (0.32.0).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from systems.engine.adapter_files import AdapterFiles, inspect_adapter
from systems.engine.adapter_rules import common_scaling
from systems.engine.adapter_settings import read_settings
from systems.engine.config import ModelConfig, read_config
from systems.engine.dtypes import compute_dtype
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function, SystemInfo
from systems.options import SystemOptions
from systems.runtime import cards
from systems.serverful.cards import Placed, environment, place
from systems.serverful.ports import ports
from systems.serverful.system import ServerPlan, ServerSystem
from systems.serverful.warm_up import prompt_lengths, warm_up

EXECUTABLE = "SLBENCH_VLLM"
_OWN = Path(__file__).resolve().parents[1] / ".venv-vllm" / "bin" / "vllm"
_UTILIZATION = 0.9
"""vLLM's default of ``--gpu-memory-utilization``."""
_GRAPH_TOKENS = 512
"""Tokens of the largest step that vLLM captures as a CUDA graph by default; with fewer than half as
many concurrent requests it captures twice those (``vllm/config/vllm.py``, 0.33.0)."""
_FUSED = {
    "qkv_proj": frozenset({"q_proj", "k_proj", "v_proj"}),
    "gate_up_proj": frozenset({"gate_proj", "up_proj"}),
}
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that ``--max-lora-rank`` accepts."""


class Options(SystemOptions):
    """An option that is None is derived from the deployment."""

    max_loras: PositiveInt | None = None
    """Adapters in one batch; None: all adapters of the server."""
    max_cpu_loras: PositiveInt | None = None
    max_num_seqs: PositiveInt | None = None
    """Concurrent requests; None: the batch limit times the server's functions."""
    kv_cache_gib: PositiveInt | None = None
    """CPU only; None: ``max_num_seqs`` full contexts, rounded up to whole GiB."""
    threads: NonNegativeInt | None = None
    """CPU threads per server; None: all cores (shared), ``threads_per_instance`` (dedicated)."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """None: the deployment's dtype on a GPU; float32 on the CPU, in which the in-tree engine also
    computes. Without native half-precision arithmetic (AVX2), float32 halves vLLM's TTFT and
    leaves its TPOT unchanged."""
    gpu_memory_utilization: PositiveFloat | None = None
    """None: what the deployment has of the card, and at most vLLM's default."""
    start_timeout_s: PositiveFloat = 600.0
    arguments: tuple[str, ...] = ()
    """Additional arguments of ``vllm serve``."""

    def of_card(self, device: Device) -> float:
        """Return the share of a card that servers may use together: with all of a larger card, they
        would be compared with systems that have less."""
        if self.gpu_memory_utilization is not None:
            return self.gpu_memory_utilization
        return min(_UTILIZATION, device.memory_bytes / card_bytes(device))


def card_bytes(device: Device) -> int:
    """Return the memory of a device's card, of which its deployment may have a part; that part
    where no driver tells more."""
    return cards.memory_of(device.name) or device.memory_bytes


def executable() -> Path:
    """Return the path of vllm. Raise ``DeploymentError`` if it is not installed."""
    named = os.environ.get(EXECUTABLE)
    path = Path(named) if named else _OWN
    if not os.access(path, os.X_OK):
        where = f"${EXECUTABLE} names {path}" if named else f"{_OWN.parents[1].name} is not there"
        raise DeploymentError(
            f"vllm: {where}; `make vllm` installs it for the CPU, or set {EXECUTABLE} to a vllm"
        )
    return path


def _inspect(id_: str, path: Path, config: ModelConfig) -> AdapterFiles:
    """Refuse an adapter that vLLM would compute wrongly: it ignores patterns of ranks and alphas
    (``vllm/lora/peft_helper.py``) and multiplies all projections by one scaling."""
    found, common = inspect_adapter(path, config), common_scaling(read_settings(path))
    if any(lora.scaling != common for lora in found.loras.values()):
        raise DeploymentError(
            f"vllm: {id_}: its rank_pattern or alpha_pattern scales projections differently; "
            "vLLM ignores both"
        )
    return found


class Vllm(ServerSystem):
    name = "vllm"
    summary = "vLLM, one server with all adapters on each card, kept up"
    ttft_histogram: str | None = "vllm:time_to_first_token_seconds"
    known_options: ClassVar[type[Options]] = Options

    def __init__(self) -> None:
        super().__init__()
        self._options = self.known_options()
        self._warm_up: Sequence[int] = ()
        """Lengths of the prompts before the load."""

    @property
    def start_timeout_s(self) -> float:
        return self._options.start_timeout_s

    def info(self) -> SystemInfo:
        return SystemInfo(self.name, _version(), {}, self._options.model_dump())

    def groups(self, deployment: Deployment) -> Mapping[str, Sequence[Function]]:
        """Return the functions of each server, by server name."""
        used = dict.fromkeys(function.backbone for function in deployment.functions)
        return {
            backbone: [each for each in deployment.functions if each.backbone == backbone]
            for backbone in used
        }

    def threads(self, deployment: Deployment) -> int:  # noqa: ARG002
        return self._options.threads or len(os.sched_getaffinity(0))

    def servers(self, deployment: Deployment) -> Sequence[ServerPlan]:
        self._options = self.known_options.read(deployment, self.name)
        self._warm_up = prompt_lengths(deployment.limits.max_context_tokens)
        placed = place(self.groups(deployment), deployment.devices)
        return self._plans_on(ports(deployment, len(placed)), deployment, placed)

    def warm(self, plan: ServerPlan) -> bool:
        models = plan.models.values()
        return warm_up(plan.base_url, models, self._warm_up, self.start_timeout_s)

    def _plans_on(
        self, free: Sequence[int], deployment: Deployment, placed: Sequence[Placed]
    ) -> Sequence[ServerPlan]:
        """Return the servers ``placed``, on the ports ``free``."""
        path = executable()
        return [
            self._plan(path, deployment, each, port)
            for each, port in zip(placed, free, strict=True)
        ]

    def _plan(
        self,
        path: Path,
        deployment: Deployment,
        placed: Placed,
        port: int,
    ) -> ServerPlan:
        functions = placed.functions
        backbone = functions[0].backbone
        on_cpu = deployment.devices[0].kind == "cpu"
        dtype = self._options.dtype or compute_dtype(deployment.dtype, deployment.devices[0].kind)
        config = read_config(deployment.backbones[backbone])
        seqs = self._options.max_num_seqs or deployment.limits.max_batch_size * len(functions)
        command = [
            *(str(path), "serve", str(deployment.backbones[backbone])),
            *("--served-model-name", backbone),
            *("--host", deployment.host, "--port", str(port), "--dtype", dtype),
            *("--max-model-len", str(deployment.limits.max_context_tokens)),
            *("--max-num-seqs", str(seqs), *self._adapters(functions, config)),
            *(() if on_cpu else self._on_card(placed, seqs)),
            *self._options.arguments,
        ]
        threads = self.threads(deployment)
        return ServerPlan(
            name=placed.name,
            command=command,
            base_url=f"http://{deployment.host}:{port}",
            models={each.id: each.id if each.adapter else backbone for each in functions}
            | {backbone: backbone},
            threads=threads,
            environment=self._cpu(path, deployment, config, seqs, threads)
            if on_cpu
            else {**QUIET, **environment(placed.device)},
            function_id=functions[0].id if len(functions) == 1 else None,
            device=deployment.devices[0].name if on_cpu else None,
        )

    def _adding(self, command: Sequence[str], *flags: str) -> Sequence[str]:
        """Add flags before the arguments that are asked for, so that these count."""
        own = len(command) - len(self._options.arguments)
        return [*command[:own], *flags, *command[own:]]

    def _adapters(self, functions: Sequence[Function], config: ModelConfig) -> Sequence[str]:
        files = {each.id: each.adapter for each in functions if each.adapter}
        if not files:
            return ()
        found = [_inspect(id_, path, config) for id_, path in files.items()]
        rank = max(each.rank for each in found)
        if rank > _RANKS[-1]:
            raise DeploymentError(f"vllm: adapters of rank {rank}; it takes {_RANKS[-1]} at most")
        loras = self._options.max_loras or len(files)
        return [
            *("--enable-lora", "--max-loras", str(loras)),
            *("--max-cpu-loras", str(self._options.max_cpu_loras or max(loras, len(files)))),
            *("--max-lora-rank", str(next(each for each in _RANKS if each >= rank))),
            *("--lora-target-modules", *_modules(found)),
            *("--lora-modules", *(f"{id_}={path}" for id_, path in files.items())),
        ]

    def _on_card(self, placed: Placed, seqs: int) -> Sequence[str]:
        return "--gpu-memory-utilization", str(self._utilization(placed)), *_graphs(seqs)

    def _utilization(self, placed: Placed) -> float:
        """Return the share of its card that a server may use."""
        return round(self._options.of_card(placed.device) / placed.beside, 4)

    def _cpu(
        self, path: Path, deployment: Deployment, config: ModelConfig, seqs: int, threads: int
    ) -> dict[str, str]:
        """Do not bind threads: automatic binding leaves a core unused and assigns the same cores
        to every server of a machine. Preload OpenMP if the installation has it; vLLM warns that
        it is slower without."""
        tokens = seqs * deployment.limits.max_context_tokens
        wanted = tokens * config.kv_bytes_per_token(deployment.dtype)
        openmp = path.parents[1] / "lib" / "libiomp5.so"
        return {
            **QUIET,
            "VLLM_CPU_KVCACHE_SPACE": str(self._options.kv_cache_gib or -(-wanted // 2**30)),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(threads),
        } | ({"LD_PRELOAD": str(openmp)} if openmp.exists() else {})


def _modules(adapters: Sequence[AdapterFiles]) -> Sequence[str]:
    """Return the projections that adapters have, and vLLM's fused ones that contain them. By itself
    it computes with adapters in all that could have one."""
    targets = sorted({target for each in adapters for target in each.targets})
    fused = (name for name, parts in _FUSED.items() if not parts.isdisjoint(targets))
    return (*targets, *fused)


def _graphs(seqs: int) -> Sequence[str]:
    """Have vLLM capture what it captures without a limit of requests. Steps beyond its graphs, with
    prompts in them, take several times as long, so that a comparison's limit would slow it down."""
    if 2 * seqs >= _GRAPH_TOKENS:
        return ()
    return "--compilation-config", json.dumps({"max_cudagraph_capture_size": _GRAPH_TOKENS})


class VllmDedicated(Vllm):
    name = "vllm-dedicated"
    summary = "vLLM, a server for each function, kept up"

    def groups(self, deployment: Deployment) -> Mapping[str, Sequence[Function]]:
        return {function.id: [function] for function in deployment.functions}

    def threads(self, deployment: Deployment) -> int:
        return (
            self._options.threads
            or deployment.limits.threads_per_instance
            or len(os.sched_getaffinity(0))
        )


QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}


def _version() -> str:
    """Read the version in vLLM's own environment; ``vllm --version`` takes ten seconds."""
    try:
        python = executable().with_name("python")
        code = "from importlib.metadata import version; print(version('vllm'))"
        said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (DeploymentError, OSError, subprocess.CalledProcessError):
        return "not installed"
    found = re.search(r"\d[\w.+]*", said.stdout)
    return found[0] if found else "unknown"
