"""Run the commands of docs/reproduce-a-figure.md, docs/your-system.md and docs/your-policy.md, and
of the sections of README.md about them. Commands that need a card, a cluster or minutes are only
parsed by the CLI. (tests/workloads/test_guide.py runs docs/workloads.md, tests.machines runs
docs/cluster.md, test_three_ways.py runs docs/three-ways.md.)"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from harness.cells.plan import plan_cells
from harness.cli import build
from harness.commands.chosen import choose
from harness.experiment_files import load
from harness.reference_server import running_reference_server
from paper_figures.style import SYSTEMS
from systems.access import AccessTokens
from systems.models.skills import skills
from systems.openai_endpoint import Options
from systems.registry import system_names
from systems.runtime.http.schema import ChatRequest, CompletionRequest
from tests.packages import install
from workloads import catalogue

from .pages import ROOT, commands, copied, pages, words
from .typed import typed

GUIDE = ROOT / "docs" / "reproduce-a-figure.md"
YOURS = ROOT / "docs" / "your-system.md"
POLICY = ROOT / "docs" / "your-policy.md"
BRIEF = ROOT / "docs" / "three-ways.md"
EVERY = [command for page in pages() for command in commands(page.read_text(encoding="utf-8"))]


def of(program: str) -> list[str]:
    return sorted({command for command in EVERY if words(command)[0] == program})


def section(title: str) -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("guide"))


def run(command: str, folder: Path, *packages: Path) -> str:
    line = command.replace("slbench ", "python -m harness ", 1).replace("python", sys.executable, 1)
    environment = {**os.environ, "PYTHONPATH": ":".join(map(str, (ROOT, *packages)))}
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


@pytest.mark.usefixtures("one_process", "png_only")
def test_the_commands_of_the_guide_do_what_they_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m harness.readme`` is run by test_readme.py."""
    found = commands(GUIDE.read_text(encoding="utf-8"))
    assert len(found) >= 8
    run_elsewhere = [*commands(BRIEF.read_text(encoding="utf-8")), "python -m harness.readme"]
    monkeypatch.chdir(folder)
    for command in found:
        if command not in run_elsewhere:
            typed(command)
    for file in ("figures/ttft-by-pattern.csv", "figures-l40s/time-breakdown.png",
                 "remade/weak-scaling/numbers.parquet", "mine/weak-scaling.png"):  # fmt: skip
        assert (folder / file).stat().st_size > 0


@pytest.mark.usefixtures("one_process", "png_only")
def test_what_the_readme_has_beyond_the_guide_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    of_the_guide = {" ".join(c.split()[:2]) for c in commands(GUIDE.read_text(encoding="utf-8"))}
    beyond = [
        command
        for command in commands(section("Reproduce a figure"))
        if " ".join(command.split()[:2]) not in of_the_guide
    ]
    beyond += [
        command
        for command in commands(section("Ablate, simulate, compare"))
        if command.startswith("slbench run time-breakdown --simulated")
    ]
    for command in beyond:
        typed(command)
    assert list((folder / "results" / "runs").glob("*/*/*/*/decisions.parquet"))
    assert (folder / "report.html").stat().st_size > 0


@pytest.mark.live
def test_a_system_that_is_up_is_checked_by_the_commands_of_readme_and_guide(folder: Path) -> None:
    """The suite's reference server replaces the host and the models of the commands.
    test_three_ways.py runs the command that docs/three-ways.md has too."""
    told = [
        *commands(section("Compare your system")),
        *commands(YOURS.read_text(encoding="utf-8")),
    ]
    checks = {command for command in told if command.startswith("slbench systems check --url")}
    assert checks
    checks -= {*commands(BRIEF.read_text(encoding="utf-8"))}
    with running_reference_server() as server:
        for command in checks:
            there = command.replace("http://host:8000", server.base_url)
            for mine, its in (("my-lora-a", "ref"), ("my-lora-b", "ref.gap-5")):
                there = there.replace(mine, its)
            said = json.loads(run(f"{there} --json", folder))
            assert said["failed"] == []
            assert said["passed"]


@pytest.mark.parametrize(
    ("title", "guide"),
    [
        ("Reproduce a figure", "reproduce-a-figure"),
        ("Compare your system", "your-system"),
        ("Add a trace", "workloads"),
    ],
)
def test_a_section_of_the_readme_is_short_and_leads_to_its_guide(title: str, guide: str) -> None:
    lines = [line for line in section(title).splitlines() if line]
    assert len(lines) < 10
    assert f"(docs/{guide}.md)" in section(title)
    known = commands((ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8"))
    words = {" ".join(command.split()[:2]) for command in known}
    assert {" ".join(c.split()[:2]) for c in commands(section(title))} <= words | {"slbench report"}


def read_by_the_cli(command: str) -> dict[str, Any]:
    """Parse the command with the CLI without running it. Raises click's errors."""
    _, *arguments = takewhile(lambda word: word != ">", words(command))
    found: Any = typer.main.get_command(build(arguments[:1]))
    name = "slbench"
    while inside := getattr(found, "commands", None):
        name, *arguments = arguments
        found = inside[name]
    return dict(found.make_context(name, arguments).params)


@pytest.mark.parametrize("command", of("slbench"))
def test_every_command_of_every_page_is_one_that_the_cli_takes(command: str) -> None:
    assert read_by_the_cli(command)


def runs_of_names() -> list[str]:
    """Runs of shipped experiments. Those of a file are run by the tests of the pages that print
    it."""
    found = [each for each in of("slbench") if words(each)[1] == "run"]
    return [each for each in found if not words(each)[2].endswith(".yaml")]


@pytest.mark.parametrize("command", runs_of_names())
def test_every_run_of_every_page_is_an_experiment_of_what_there_is(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {*system_names(), "my-system"}
    monkeypatch.setattr("harness.commands.chosen.system_names", lambda: there)
    asked = read_by_the_cli(command)
    given = {
        "mode": "simulated" if asked["simulated"] else None,
        "load_workers": asked["load_workers"],
        "deployment.cluster": asked["cluster"],
    }
    chosen = choose(asked["experiment"], asked["system"], asked["workload"], given, asked["set_"])
    assert {each.name for each in chosen.systems} <= there
    for each in chosen.systems:
        if each.name == "openai-endpoint":
            assert Options.model_validate(each.options).url == "http://host:8000"
    for plan in {(cell.workload.name, cell.seed): cell for cell in plan_cells(chosen)}.values():
        assert len(catalogue.load(plan.workload.name, seed=plan.seed, **plan.workload.overrides))


@pytest.mark.parametrize("command", [each for each in of("slbench") if words(each)[1] == "serve"])
def test_every_tenant_of_a_server_is_of_a_function_that_it_has(command: str) -> None:
    asked = read_by_the_cli(command)
    told = {each.partition("=")[0] for each in asked["tenant"] or ()}
    assert asked["adapter"] or told <= set(skills())


def test_the_systems_of_the_page_are_chosen_at_every_isolation_level() -> None:
    page = (ROOT / "docs" / "isolation.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    chosen = load("quickstart", {**yaml.safe_load(example), "baseline": None}).systems
    assert {each.name for each in chosen} == {"serverless-lora"}
    assert [each.isolation for each in chosen] == [None, "tenant", "backbone"]
    assert {each.label for each in chosen} <= set(SYSTEMS), "the figures have a look for each"


def test_modules_and_targets_that_pages_name_are_there() -> None:
    printed = "".join(page.read_text(encoding="utf-8") for page in pages())
    for command in of("python"):
        _, first, *rest = words(command)
        if first.endswith(".py"):
            assert f"Save this as `{first}`" in printed
        else:
            assert first == "-m"
            assert importlib.util.find_spec(rest[0]) is not None, command
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in of("make"):
        assert re.search(rf"^{words(command)[1]}:", targets, re.MULTILINE), command


def test_what_curl_is_told_to_send_is_a_request_that_is_taken() -> None:
    for command in of("curl"):
        _, url, *rest = words(command)
        path = url.partition("/v1/")[2]
        body = {"chat/completions": ChatRequest, "completions": CompletionRequest}[path]
        served = {"smollm2-135m", *skills()}
        assert body.model_validate_json(rest[rest.index("-d") + 1]).model in served


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the guide makes tokens with openssl")
def test_the_file_of_tokens_that_the_guide_makes_is_read(tmp_path: Path) -> None:
    (command,) = of("umask")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    AccessTokens.read(tmp_path / "tokens.toml")


@pytest.mark.live
def test_the_system_of_the_guide_is_installed_and_checked_as_it_is_printed(
    folder: Path, tmp_path: Path
) -> None:
    text = YOURS.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) < 60
    (group, entry) = re.findall(r"^    \[project.entry-points.\"(.*)\"\]\n    (.*)$", text, re.M)[0]
    entries = f"[{group}]\n{entry.replace(chr(34), '')}\n"
    install(tmp_path, "mine", {"my_package/my_module.py": code}, entries)
    (check,) = [each for each in commands(text) if each == "slbench systems check my-system"]
    said = json.loads(run(f"{check} --json", folder, tmp_path))
    assert said["failed"] == []
    assert "stops without leaving a process or a port" in said["passed"]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the policy of the guide as it is printed, under the name that it is given."""
    text = POLICY.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) < 32
    folder = tmp_path_factory.mktemp("policy")
    (folder / "my_policy.py").write_text(code, encoding="utf-8")
    return folder


@pytest.mark.usefixtures("one_process", "png_only")
def test_the_policy_of_the_guide_runs_as_it_is_printed(
    folder: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(policy)
    text = POLICY.read_text(encoding="utf-8")
    runs = [
        each for each in commands(text) if each.startswith(("slbench run", "slbench systems s"))
    ]
    assert len(runs) == 3
    last = ""
    for command in runs:
        last = typed(command)
    done = Path(re.findall(r"^run +(.*)$", last, re.MULTILINE)[0])
    (manifest,) = (folder / done).glob("serverless-llm/*/*/manifest.json")
    told = json.loads(manifest.read_text(encoding="utf-8"))["system"]["policies"]
    assert told["offloading"] == "my_policy:FirstInFirstOut"
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    chosen = yaml.safe_load(example)["systems"]
    assert chosen == yaml.safe_load(runs[-1].partition("systems=")[2].rstrip("'"))


@pytest.mark.live
def test_the_policy_of_the_guide_decides_for_a_live_system(folder: Path, policy: Path) -> None:
    """The gateway is given its name, and imports it."""
    text = POLICY.read_text(encoding="utf-8")
    (check,) = [each for each in commands(text) if each.startswith("slbench systems check")]
    said = json.loads(run(f"{check} --json", folder, policy))
    assert said["failed"] == []
