"""Write the mutants with mutmut, and read them. The only module that needs mutmut's generator."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants
from mutmut.mutation.diff_apply import get_diff_for_mutant

FOLDER = Path("mutants")
"""Relative to the repository root; mutmut knows no other."""


def write(workers: int) -> list[str]:
    """Write the mutants of the code as it is now, and return their names, sorted."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(workers)
    metas = (json.loads(path.read_bytes()) for path in FOLDER.rglob("*.meta"))
    return sorted(name for meta in metas for name in meta["exit_code_by_key"])


def digest() -> str:
    """Return a digest of the mutants and of the tests beside them."""
    found = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in {".py", ".toml", ".json", ".yaml"} and path.is_file():
            found.update(str(path).encode() + path.read_bytes())
    return found.hexdigest()[:16]


def diffs(names: Iterable[str]) -> str:
    """Return what each of the mutants changes, as unified diffs with its name above."""
    return "\n".join(f"# {name}\n{get_diff_for_mutant(name)}\n" for name in names)
