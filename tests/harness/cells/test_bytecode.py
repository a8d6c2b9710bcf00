"""A library without bytecode gives a warning, since it makes every cold start slower."""

from __future__ import annotations

import compileall
import sys
from pathlib import Path

import pytest

from harness.cells import bytecode


def test_a_library_that_each_process_would_compile_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare_library").mkdir()
    (tmp_path / "bare_library" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(bytecode, "LIBRARIES", ("bare_library", "no_such_library"))
    assert bytecode.uncompiled() == ["bare_library"]
    (warning,) = bytecode.warnings()
    assert warning.startswith("bare_library: no bytecode")
    compileall.compile_dir(str(tmp_path), quiet=1)
    assert bytecode.warnings() == ()


def test_a_library_that_is_not_there_is_none_of_its_business(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bytecode, "LIBRARIES", ("no_such_library",))
    assert "no_such_library" not in sys.modules
    assert bytecode.uncompiled() == []
