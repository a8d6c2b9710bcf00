"""Settings that apply to every test."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell starts background jobs with SIGINT ignored, and child processes inherit that. Tests
# interrupt the processes that they start, so restore the default handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The duration of an example depends on the load of the machine, so it must not fail a test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
