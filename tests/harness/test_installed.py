"""The suite as a wheel: the commands that read reference runs find them where no checkout is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness import places

from .pages import ROOT

PACKAGES = ("harness", "systems", "workloads", "paper_figures")
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, and unpack it."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in (*PACKAGES, "results/reference"):
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-c", _BUILD, str(site)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = site.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    return site


def slbench(site: Path, folder: Path, *words: str) -> str:
    """Run the installed command in ``folder``, where no checkout is."""
    command = [sys.executable, "-P", "-m", "harness", *words]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_is_the_installed_one(site: Path, tmp_path: Path) -> None:
    where = "import harness; print(harness.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", where], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(site)


def test_a_wheel_has_every_reference_run_as_it_is(site: Path) -> None:
    there = {path.relative_to(ROOT / "results/reference"): path
             for path in (ROOT / "results" / "reference").rglob("*") if path.is_file()}  # fmt: skip
    assert len(there) > 500
    for name, path in there.items():
        assert (site / "harness/reference/runs" / name).stat().st_size == path.stat().st_size


def test_a_wheel_has_every_file_that_the_packages_read(site: Path) -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix not in {".pyc", ".md"}:
                assert (site / path.relative_to(ROOT)).is_file(), path


def test_claims_figures_and_report_find_them(site: Path, tmp_path: Path) -> None:
    claims = json.loads(slbench(site, tmp_path, "claims", "--json"))["claims"]
    assert all(claim["findings"] for claim in claims)
    slbench(site, tmp_path, "figures", "keep-alive", "--out", "drawn")
    assert (tmp_path / "drawn" / "keep-alive.png").stat().st_size > 0
    slbench(site, tmp_path, "report", "results/reference/quickstart", "-o", "page.html")
    assert (tmp_path / "page.html").stat().st_size > 0
    assert not (tmp_path / "results").exists()


def test_a_run_is_named_by_folder_by_id_or_as_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    installed = ROOT / "harness" / "reference" / "runs"
    for name in ("quickstart", "results/reference/quickstart"):
        assert places.located(name).resolve() == (installed / "quickstart").resolve()
    mine = tmp_path / "results" / "runs" / "quickstart"
    mine.mkdir(parents=True)
    assert places.located("quickstart") == places.RUNS / "quickstart", "one's own comes first"
    assert places.located("nothing") == places.RUNS / "nothing"


def test_a_wheel_has_the_command_and_the_licences(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    assert "slbench = harness.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
    assert {path.name for path in (info / "licenses").iterdir()} == {"LICENSE", "THIRD_PARTY.md"}
