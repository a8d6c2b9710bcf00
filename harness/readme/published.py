"""The table of cold starts that others have published: quoted, none of it measured here."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .block import Block

FILE = "published.toml"
HEADS = ("published, not measured here", "cold start", "in", "already resident", "source")


class Published(BaseModel):
    """What published.toml says of a system; its head says what the keys mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    told: str
    setting: str
    resident: str
    where: str
    by: Literal["authors", "digest"]
    url: str = ""


def published() -> list[Published]:
    text = (files("harness") / "readme" / FILE).read_text(encoding="utf-8")
    return [Published(system=name, **about) for name, about in tomllib.loads(text).items()]


def published_table(block: Block, reference: Path) -> str:
    del block, reference  # No record has these numbers.
    lines = [HEADS, ("---",) * len(HEADS), *map(_row, published())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(each: Published) -> tuple[str, ...]:
    source = f"[{each.where}]({each.url})" if each.url else each.where
    return (each.system, each.told, each.setting, each.resident, f"{source}, {each.by}")
