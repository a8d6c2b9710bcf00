"""Systems by name. A third party adds its own through the entry-point group ``slbench.systems``:

[project.entry-points."slbench.systems"]
my-system = "my_package.my_module:MySystem"
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from .errors import UnknownSystemError

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
    "openai-endpoint": "systems.openai_endpoint:OpenAIEndpoint",
}


def _targets() -> dict[str, str]:
    found = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {**found, **_SHIPPED}


def system_names() -> list[str]:
    """All that can be deployed, those of third parties included."""
    return sorted(_targets())


def system_class(name: str) -> Any:
    """The :class:`ServingSystem` registered under ``name``; ``UnknownSystemError`` lists the
    known ones, or says why the named one cannot be imported."""
    targets = _targets()
    if name not in targets:
        known = ", ".join(sorted(targets))
        raise UnknownSystemError(f"system {name!r} is unknown; known: {known}")
    module, _, attribute = targets[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownSystemError(f"system {name!r} ({targets[name]}): {error}") from error
