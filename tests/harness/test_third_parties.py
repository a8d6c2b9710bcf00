"""THIRD_PARTY.md says of every file that is no code where it is from, and under which licence."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from .pages import ROOT

TEXT = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
ROWS = [
    (re.findall(r"`([^`]+)`", files), licence.strip())
    for files, *_, licence in re.findall(r"^\| (`.+?) \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.M)
]
AZURE = "workloads/catalogue/azure-bursty8.toml"


def bundled() -> list[str]:
    """Return the committed files that are no code, or all there are where no git is."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout of git")
    return [name for name in done.stdout.splitlines() if Path(name).suffix != ".py"]


def licence(file: str) -> str | None:
    """Return the licence by the first row whose patterns fit."""
    found = (licence for files, licence in ROWS if any(fnmatch(file, pattern) for pattern in files))
    return next(found, None)


def test_every_file_that_is_no_code_has_a_licence() -> None:
    files = bundled()
    assert len(files) > 700
    assert [file for file in files if licence(file) is None] == []


def test_every_pattern_fits_a_file() -> None:
    files = bundled()
    for patterns, _ in ROWS:
        for pattern in patterns:
            assert any(fnmatch(file, pattern) for file in files), pattern


def test_what_derives_from_traces_keeps_their_licence() -> None:
    assert licence(AZURE) == licence("workloads/catalogue/llm-conv.toml") == "CC-BY-4.0"
    fitted = [path for path in (ROOT / "workloads" / "catalogue").glob("*.toml")
              if "CC-BY" in path.read_text(encoding="utf-8")]  # fmt: skip
    assert len(fitted) >= 6
    for path in fitted:
        assert licence(path.relative_to(ROOT).as_posix()) == "CC-BY-4.0", path


def test_a_file_that_no_row_names_is_noticed() -> None:
    for file in ("harness/report/parts/Inter.woff2", "systems/models/tokenizer.json", "docs/a.svg"):
        assert licence(file) is None
    assert licence("workloads/catalogue/steady.toml") == "Apache-2.0"
