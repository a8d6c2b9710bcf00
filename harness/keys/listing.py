"""Lists every key of an experiment file with its type, default, unit and meaning."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from systems.interface import Limits

from ..choices import DeploymentChoice, SystemChoice, WorkloadChoice
from ..experiment import Experiment
from .kinds import kind

_UNITS = {"_s": "s", "_s_by_backbone": "s", "_gib": "GiB", "_tokens": "tokens"}
PLACES: Mapping[str, type[BaseModel]] = {
    "": Experiment,
    "systems[].": SystemChoice,
    "workloads[].": WorkloadChoice,
    "deployment.": DeploymentChoice,
    "deployment.limits.": Limits,
}
"""The models of an experiment, by what precedes their keys."""
FROM_FILE = "name"
"""The key whose default is the name of the file."""


@dataclass(frozen=True, slots=True)
class Key:
    """``default``: as in YAML; empty if the key must be given, or follows from others."""

    path: str
    kind: str
    default: str
    required: bool
    unit: str
    about: str


def keys() -> Iterator[Key]:
    """Yield every key, in the order of the models; sections after the keys above them."""
    for above, model in PLACES.items():
        about = _docstrings(model)
        properties = model.model_json_schema()
        for name, field in model.model_fields.items():
            yield Key(
                path=f"{above}{name}",
                kind=kind(properties["properties"][name], properties),
                default=_default(field),
                required=field.is_required() and f"{above}{name}" != FROM_FILE,
                unit=next((u for end, u in _UNITS.items() if name.endswith(end)), ""),
                about=" ".join(about.get(name, "").split()),
            )


def _default(field: FieldInfo) -> str:
    if field.default_factory is dict:
        return "{}"
    if field.is_required() or field.default_factory is not None:
        return ""
    value = field.default
    if isinstance(value, BaseModel):
        return "the defaults of its keys"
    return json.dumps(value, default=list)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the text behind each attribute in the source of the class."""
    (body,) = (node.body for node in ast.parse(dedent(inspect.getsource(model))).body
               if isinstance(node, ast.ClassDef))  # fmt: skip
    return {
        field.target.id: after.value.value
        for field, after in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(after.value.value, str)
    }
