"""Wrong options of a system: one line that names the system, the option and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function
from systems.options import SystemOptions
from systems.registry import system_class, system_names


class Options(SystemOptions):
    speed: int = 1
    size: int = 1


def deployment(options: Mapping[str, Any]) -> Deployment:
    return Deployment(
        functions=(Function(id="f", backbone="b", adapter=Path("a")),),
        backbones={"b": Path("b")},
        devices=(Device(name="cpu:0", memory_bytes=1),),
        options=options,
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"sped": 2}, "x: sped is not an option; did you mean speed?"),
        ({"colour": 2}, "x: colour is not an option; known: speed, size"),
        ({"size": "big", "sped": 1}, r"x: option size: input should be .* \(and 1 more\)"),
    ],
)
def test_the_line_says_what_would_be_right(options: Mapping[str, Any], line: str) -> None:
    with pytest.raises(DeploymentError, match=line):
        Options.read(deployment(options), "x")
    assert Options.read(deployment({"size": 2}), "x").size == 2


@pytest.mark.parametrize("name", system_names())
def test_every_system_names_itself(name: str) -> None:
    with pytest.raises(DeploymentError, match=f"^{name}: nonsense is not an option"):
        system_class(name)().check(deployment({"nonsense": 1}))
