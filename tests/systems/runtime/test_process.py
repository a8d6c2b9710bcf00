"""What processes of every role do when they start."""

from __future__ import annotations

import gc

from systems.runtime import process


def test_what_a_process_makes_after_its_import_is_collected() -> None:
    process.import_libraries("cpu")
    assert gc.isenabled()
