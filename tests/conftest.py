"""Settings that apply to every test."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

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


@pytest.fixture
def png_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save figures as PNG, for what does not look at the PDF, whose fonts take half of the time."""
    from paper_figures import style

    monkeypatch.setattr(style, "FORMATS", {"png": style.FORMATS["png"]})
