"""SECURITY.md names at least one test for every measure, and every named test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from systems.grouping import LEVELS
from systems.runtime.sandbox import confine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_every_test_that_it_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert named
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path} has no {name}"


def test_every_claim_has_its_attack_and_every_measure_its_claim() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if "::test_" in line]
    rows = [row for row in rows if row]
    assert all("::test_" in row[-1] for row in rows)
    measures = " ".join(measure for _, *between, _ in rows for measure in between)
    for name in confine.all_names("cpu"):
        assert name in measures, f"no claim rests on {name!r}"
    for name in confine.all_names("cuda"):
        assert name in measures or f"*{name}*" in " ".join(PAGE.split()), f"{name!r} is not told"


def test_it_says_of_the_levels_what_the_manifest_says() -> None:
    """The group, which the manifest names, is ``the group`` on the page."""
    names = {"tenant": "a tenant's functions over one", "backbone": "all functions over one"}
    section = PAGE.partition("## Isolation levels\n")[2].partition("\n## ")[0]
    told = re.findall(r"^- (?:At `backbone`, )?\*\*([^*]+)\*\*", section, re.MULTILINE)
    assert {" ".join(each.split()).rstrip(".").lower() for each in told} == {
        gap.replace(f"{names[name]} backbone", "the group").lower()
        for name, level in LEVELS.items()
        for gap in level.gaps
    }
