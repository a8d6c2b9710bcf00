"""Systems by name. A third party registers a system in the entry-point group ``slbench.systems``:

[project.entry-points."slbench.systems"]
my-system = "my_package.my_module:MySystem"
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from workloads.unknown import unknown

from .errors import BrokenSystemError, UnknownSystemError
from .imported import imported
from .interface import ServingSystem

GROUP = "slbench.systems"

_SHIPPED = {
    "serverless-lora": "systems.serverless_lora:ServerlessLoRA",
    "serverless-lora-no-sharing": "systems.serverless_lora:WithoutSharing",
    "serverless-lora-no-preloading": "systems.serverless_lora:WithoutPreloading",
    "serverless-lora-no-offloading": "systems.serverless_lora:WithoutOffloading",
    "serverless-lora-no-adaptive-batching": "systems.serverless_lora:WithoutAdaptiveBatching",
    "serverless-llm": "systems.serverless_llm:ServerlessLLM",
    "instainfer": "systems.instainfer:InstaInfer",
    "multi-lora": "systems.multi_lora:MultiLoRA",
    "dlora": "systems.dlora:DLoRA",
    "vllm": "systems.vllm:Vllm",
    "vllm-dedicated": "systems.vllm:VllmDedicated",
    "vllm-shared": "systems.vllm_shared:VllmShared",
    "vllm-sleep": "systems.vllm_sleep:VllmSleep",
    "naive": "systems.naive:Naive",
    "openai-endpoint": "systems.openai_endpoint:OpenAIEndpoint",
}


def _targets() -> dict[str, str]:
    found = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {**found, **_SHIPPED}


def system_names() -> list[str]:
    """Return the names of all deployable systems, third-party ones included."""
    return sorted(_targets())


def system_class(name: str) -> Any:
    """Return the :class:`ServingSystem` registered under ``name``. ``UnknownSystemError`` lists the
    known names; ``BrokenSystemError`` says why a registered system cannot be used."""
    # Reading the entry points of all installed packages takes milliseconds.
    target = _SHIPPED.get(name) or _targets().get(name)
    if target is None:
        raise UnknownSystemError(unknown("system", name, system_names()))
    try:
        found = imported(target)
    except ImportError as error:
        raise BrokenSystemError(f"system {name!r} ({target}): {error}") from error
    if why := _lacks(found):
        raise BrokenSystemError(f"system {name!r} ({target}): {why}")
    return found


def _lacks(found: Any) -> str:
    """Describe why ``found`` cannot be used as a system; empty if it can."""
    if not (isinstance(found, type) and issubclass(found, ServingSystem)):
        return "is not a class derived from systems.interface.ServingSystem"
    missing = [each for each in ("name", "kind", "summary") if not hasattr(found, each)]
    missing += sorted(found.__abstractmethods__)
    return f"does not define {', '.join(missing)}" if missing else ""
