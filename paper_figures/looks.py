"""How a system looks in every figure and on the report's page: display name, colour, marker."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Look(NamedTuple):
    name: str
    colour: str
    mark: str


SYSTEMS = {
    "serverless-lora": Look("ServerlessLoRA", "#0b3c6f", "o"),
    "serverless-lora-tenant": Look("ServerlessLoRA, tenant", "#4f86c6", "h"),
    "serverless-lora-backbone": Look("ServerlessLoRA, backbone", "#a8c8e8", "H"),
    "serverless-llm": Look("ServerlessLLM", "#e69f00", "s"),
    "instainfer": Look("InstaInfer", "#56b4e9", "^"),
    "serverless-lora-no-sharing": Look("− sharing", "#cc79a7", "D"),
    "serverless-lora-no-preloading": Look("− pre-loading", "#009e73", "v"),
    "serverless-lora-no-offloading": Look("− offloading", "#8c8c8c", "P"),
    "serverless-lora-no-adaptive-batching": Look("− adaptive batching", "#d9b38c", "X"),
    "vllm": Look("vLLM", "#d55e00", "<"),
    "multi-lora": Look("multi-lora", "#44aa99", "X"),
    "dlora": Look("dLoRA", "#8c6bb1", "P"),
    "vllm-dedicated": Look("vLLM, one server a function", "#f0c9a8", ">"),
    "vllm-sleep": Look("vLLM, sleep mode", "#a63603", "d"),
    "naive": Look("transformers + peft", "#bdbdbd", "p"),
}
"""By label; neighbours differ in lightness. For ``serverless-lora-tenant`` and ``-backbone`` see
docs/isolation.md."""
OTHERS = (
    ("#6b6b6b", "*"), ("#a6761d", "p"), ("#7570b3", "d"), ("#66a61e", "8"), ("#e7298a", "h"),
    ("#17becf", ">"), ("#7b3294", "s"), ("#d4b106", "D"), ("#3b5b2e", "^"), ("#b15928", "v"),
    ("#f781bf", "o"), ("#1b7837", "<"),
)  # fmt: skip
"""Colour and marker of labels without an entry of their own."""
ABLATIONS = tuple(name for name in SYSTEMS if name.startswith("serverless-lora-no-"))


def looks(systems: Iterable[str]) -> Mapping[str, Look]:
    """Return the look of each label. A label without an entry is its own name, with a colour that
    no other of ``systems`` has, as long as there are enough, and which depends on them alone."""
    found = {name: SYSTEMS[name] for name in systems if name in SYSTEMS}
    free = list(range(len(OTHERS)))
    for name in sorted(set(systems) - set(found)):
        place = zlib.crc32(name.encode()) % len(OTHERS)
        chosen = min(free, key=lambda index: (index - place) % len(OTHERS)) if free else place
        free = [index for index in free if index != chosen]
        found[name] = Look(name, *OTHERS[chosen])
    return found


def in_order(systems: Iterable[str]) -> list[str]:
    """Sort systems as in the legend: ServerlessLoRA, baselines, ablations, others."""
    known = list(SYSTEMS)
    return sorted(set(systems), key=lambda s: (known.index(s) if s in known else 99, s))
