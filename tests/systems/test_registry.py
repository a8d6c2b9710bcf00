"""Systems by name: a broken third-party system shows its error and does not affect the others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.commands.systems import app
from systems.errors import BrokenSystemError, UnknownSystemError
from systems.interface import Deployment, Device, Function
from systems.registry import system_class, system_names
from systems.simulation.profile import load_profile
from tests.packages import install

MODULES = {
    "stranger_good": """
from systems.openai_endpoint import OpenAIEndpoint
class Good(OpenAIEndpoint):
    name, summary = "good", "a stranger's that works"
""",
    "stranger_raises": "raise RuntimeError('no licence file')\n",
    "stranger_exits": "import sys\nsys.exit(4)\n",
    "stranger_plain": """
from systems.interface import ServingSystem
class Other: pass
class Half(ServingSystem):
    name = "half"
""",
}
BROKEN = {
    "raises": ("stranger_raises:System", "RuntimeError: no licence file"),
    "exits": ("stranger_exits:System", "SystemExit: 4"),
    "gone": ("stranger_nowhere:System", "No module named 'stranger_nowhere'"),
    "misspelt": ("stranger_good:Bad", "has no attribute 'Bad'"),
    "whole-module": ("stranger_good", "has no attribute ''"),
    "other": ("stranger_plain:Other", "is not a class derived from"),
    "half": ("stranger_plain:Half", "does not define kind, summary, check, deploy"),
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install third-party packages, as an installer does."""
    entries = [f"{name} = {target}" for name, (target, _) in BROKEN.items()]
    text = "\n".join(["[slbench.systems]", "good = stranger_good:Good", *entries])
    modules = {f"{name}.py": content for name, content in MODULES.items()}
    install(tmp_path, "strangers", modules, text + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_the_list_has_what_is_broken_with_its_reason_beside_what_works() -> None:
    done = CliRunner().invoke(app, ["list", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)["systems"]}
    for name in ("serverless-lora", "good"):
        assert (bool(rows[name]["summary"]), rows[name]["broken"]) == (True, None)
    for name, (_, why) in BROKEN.items():
        assert (rows[name]["kind"], rows[name]["summary"]) == (None, None)
        assert why in rows[name]["broken"]


@pytest.mark.usefixtures("installed")
def test_the_table_shows_the_reason_as_it_is() -> None:
    shown = CliRunner().invoke(app, ["list"], catch_exceptions=False, env={"COLUMNS": "200"})
    assert "RuntimeError: no licence file" in " ".join(shown.stdout.split())


@pytest.mark.usefixtures("installed")
def test_naming_a_broken_one_says_why_and_an_unknown_one_lists_the_known() -> None:
    with pytest.raises(BrokenSystemError, match=r"system 'raises'.*no licence file"):
        system_class("raises")
    with pytest.raises(UnknownSystemError, match=r"known: .*serverless-lora"):
        system_class("nothing")


@pytest.mark.parametrize("name", ["serverless-lora", "multi-lora"])
def test_a_system_is_shown_with_its_isolation_levels_and_what_each_promises(name: str) -> None:
    done = CliRunner().invoke(app, ["show", name, "--json"], catch_exceptions=False)
    levels = json.loads(done.stdout)["isolation_levels"]
    assert list(levels) == list(system_class(name).isolation_levels)
    shown = CliRunner().invoke(app, ["show", name], catch_exceptions=False).stdout
    for level, promise in levels.items():
        assert re.search(rf"^ *isolation: {level} +{re.escape(promise)}$", shown, re.MULTILINE)
    assert ("isolation: function" in shown) == bool(levels)


@pytest.mark.parametrize("name", system_names())
def test_every_system_can_be_asked_whether_it_checks_a_simulated_deployment(name: str) -> None:
    """One that runs live only refuses nothing."""
    deployment = Deployment(
        functions=(Function(id="f0", backbone="llama2-7b", adapter=Path("f0")),),
        backbones={"llama2-7b": Path("llama2-7b")},
        devices=(Device(name="cuda:0", memory_bytes=44 << 30),),
        dtype="float16",
    )
    system_class(name).check_simulated(deployment, load_profile("l40s"), 16)
