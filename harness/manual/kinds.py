"""docs/workload-kinds.md: what a workload in TOML is made of, with all parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from workloads.generators import PROCESSES
from workloads.lengths import KINDS
from workloads.popularity import LAWS
from workloads.synthesis import Churn, Population

from ..keys.kinds import kind
from .markdown import prose, table

_HEAD = """# Parameters of a workload

Generated from `workloads` by `python -m harness.manual`. A workload in TOML
([workloads.md](workloads.md)) names a kind in each of these tables, such as
`process = { kind = "gamma", rate_rps = 2, cv = 4 }`. A parameter without a default is required.
Units are in the names: `_s` are seconds, `_rps` requests per second. The process of a population
has no `rate_rps`, which follows from the population's and the function's share.
"""
_HEADS = ("kind", "parameters", "what it is")
_SECTIONS: tuple[tuple[str, Mapping[str, type[BaseModel]]], ...] = (
    ("population", {"population": Population, "churn": Churn}),
    ("process", PROCESSES),
    ("popularity", LAWS),
    ("prompt and output", KINDS),
)


def workload_kinds() -> str:
    return "".join([_HEAD, *(_section(title, models) for title, models in _SECTIONS)])


def _section(title: str, models: Mapping[str, type[BaseModel]]) -> str:
    rows = [(f"`{name}`", _told(_parameters(each)), _about(each)) for name, each in models.items()]
    return f"\n## {title}\n\n{table(_HEADS, rows)}"


def _told(parameters: Iterable[str]) -> str:
    return "; ".join(parameters)


def _parameters(model: type[BaseModel]) -> Iterator[str]:
    """Yield each parameter with what it may be and its default; ``kind`` names the model itself."""
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        if name != "kind":
            wanted = kind(schema["properties"][name], schema).removesuffix(" or null")
            yield f"`{name}`: {wanted}{_default(field)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    return " (may be left out)" if field.default in (None, "") else f" (`{field.default}`)"


def _about(model: type[BaseModel]) -> str:
    """Return the first paragraph of the docstring."""
    return prose((inspect.getdoc(model) or "").partition("\n\n")[0])
