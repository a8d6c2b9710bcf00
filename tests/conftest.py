"""Settings that apply to every test."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# Modules are never garbage, and to look through all of them takes a tenth of the time of many
# tests.
gc.disable()

# The matrices are small, and the tests use all cores already: threads of NumPy's BLAS that wait for
# each other take a third of the time of what compares records. NumPy reads this when it is first
# imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell starts background jobs with SIGINT ignored, and child processes inherit that. Tests
# interrupt the processes that they start, so restore the default handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without a GPU, Triton runs kernels in its interpreter. It decides when it is first imported, which
# any library may do.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The duration of an example depends on the load of the machine, so it must not fail a test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """From now on collect garbage, among what the tests themselves make."""
    found = yield
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    return found


@pytest.fixture
def png_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save figures as PNG, for what does not look at the PDF, whose fonts take half of the time."""
    from paper_figures import style

    monkeypatch.setattr(style, "FORMATS", {"png": style.FORMATS["png"]})
