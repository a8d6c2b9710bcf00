"""How a system looks in every figure and on the report's page: display name, colour, and what tells
it apart in grey: marker, dashes of a line, hatch of a bar."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from matplotlib.colors import to_rgb

Dashes = tuple[int, tuple[float, ...]]
SOLID: Dashes = (0, ())
DASHED: Dashes = (0, (4, 1.5))
DOTTED: Dashes = (0, (1, 1))
DASH_DOT: Dashes = (0, (5, 1.2, 1, 1.2))
LONG: Dashes = (0, (9, 1.5))
"""Lengths of strokes and gaps, in widths of the line."""


_GREY = (0.299, 0.587, 0.114)
"""Parts of red, green and blue in the grey that a colour is printed as."""
_LIGHT = 0.4


class Look(NamedTuple):
    name: str
    colour: str
    mark: str
    dashes: Dashes = SOLID
    hatch: str = ""

    @property
    def fill(self) -> dict[str, Any]:
        """Arguments of a filled patch."""
        return fill(self.colour, self.hatch)

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a line with markers."""
        return {"color": self.colour, "marker": self.mark, "ls": self.dashes, "label": self.name}


SYSTEMS = {
    "serverless-lora": Look("ServerlessLoRA", "#0b3c6f", "o"),
    "serverless-lora-4-tenants": Look("ServerlessLoRA, 4 tenants", "#7fb7be", "h", LONG, "+"),
    "serverless-lora-2-tenants": Look("ServerlessLoRA, 2 tenants", "#2f6f77", "8", DASH_DOT, "|"),
    "serverless-lora-tenant": Look("ServerlessLoRA, tenant", "#4f86c6", "p", DASHED, "////"),
    "serverless-lora-backbone": Look(
        "ServerlessLoRA, backbone", "#a8c8e8", "*", DOTTED, "\\\\\\\\"
    ),
    "serverless-llm": Look("ServerlessLLM", "#e69f00", "s", DASHED, "///"),
    "instainfer": Look("InstaInfer", "#56b4e9", "^", DOTTED, "...."),
    "serverless-lora-no-sharing": Look("− sharing", "#cc79a7", "D", DASHED, "\\\\\\"),
    "serverless-lora-no-preloading": Look("− pre-loading", "#009e73", "v", DOTTED, "xxxx"),
    "serverless-lora-no-offloading": Look("− offloading", "#8c8c8c", "P", DASH_DOT, "----"),
    "serverless-lora-no-adaptive-batching": Look(
        "− adaptive batching", "#d9b38c", "X", LONG, "||||"
    ),
    "serverless-lora-no-peer-copies": Look("− copies between cards", "#4d7a3a", "<", DASHED, "-\\"),
    "vllm": Look("vLLM", "#d55e00", "<", DASH_DOT, "xxx"),
    "multi-lora": Look("multi-lora", "#44aa99", "X", DASH_DOT, "---"),
    "dlora": Look("dLoRA", "#8c6bb1", "P", DOTTED, "+++"),
    "vllm-dedicated": Look("vLLM, one server a function", "#f0c9a8", ">", LONG, "..."),
    "vllm-shared": Look("vLLM, shared weights", "#7f2704", "v", DASHED, "o-"),
    "vllm-sleep": Look("vLLM, sleep mode", "#a63603", "d", DASHED, "|||"),
    "vllm-sleep-function": Look("vLLM, sleep mode, one a function", "#fdae6b", "h", DOTTED, "+."),
    "naive": Look("transformers + peft", "#bdbdbd", "p", DOTTED, "ooo"),
}
"""By label; neighbours differ in lightness. For ``serverless-lora-tenant`` and ``-backbone`` see
docs/isolation.md."""
OTHERS = (
    Look("", "#6b6b6b", "*", DASHED, "oo"), Look("", "#a6761d", "p", LONG, "//"),
    Look("", "#7570b3", "d", DOTTED, "\\\\"), Look("", "#66a61e", "8", DASHED, "xx"),
    Look("", "#e7298a", "h", DASH_DOT, "--"), Look("", "#17becf", ">", DASHED, "||"),
    Look("", "#7b3294", "s", LONG, "++"), Look("", "#d4b106", "D", DOTTED, ".."),
    Look("", "#3b5b2e", "^", DASH_DOT, "/"), Look("", "#b15928", "v", LONG, "\\"),
    Look("", "#f781bf", "o", DASHED, "**"), Look("", "#1b7837", "<", DOTTED, "x"),
)  # fmt: skip
"""Of labels without an entry of their own, which are their own names."""


def is_ablation(system: str) -> bool:
    """Return whether a label says what ServerlessLoRA lacks."""
    return system.startswith("serverless-lora-no-")


def looks(systems: Iterable[str]) -> Mapping[str, Look]:
    """Return the look of each label. A label without an entry is its own name, with a colour that
    no other of ``systems`` has, as long as there are enough, and which depends on them alone."""
    found = {name: SYSTEMS[name] for name in systems if name in SYSTEMS}
    free = list(range(len(OTHERS)))
    for name in sorted(set(systems) - set(found)):
        place = zlib.crc32(name.encode()) % len(OTHERS)
        chosen = min(free, key=lambda index: (index - place) % len(OTHERS)) if free else place
        free = [index for index in free if index != chosen]
        found[name] = OTHERS[chosen]._replace(name=name)
    return found


def in_order(systems: Iterable[str]) -> list[str]:
    """Sort systems as in the legend: ServerlessLoRA, baselines, ablations, others."""
    known = list(SYSTEMS)
    return sorted(set(systems), key=lambda s: (known.index(s) if s in known else 99, s))


def grey(colour: str) -> float:
    """Return the grey that a colour is printed as: black is 0, white 1."""
    return float(sum(part * value for part, value in zip(_GREY, to_rgb(colour), strict=True)))


def fill(colour: str, hatch: str) -> dict[str, Any]:
    """Return the arguments of a patch without an edge, whose hatch is visible on its colour."""
    ink = "black" if grey(colour) > _LIGHT else "white"
    return {"facecolor": colour, "edgecolor": ink, "hatch": hatch, "linewidth": 0}
