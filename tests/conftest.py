"""What every test may count on."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell starts what it runs in the background with interrupts ignored, and that is inherited by
# whatever a test starts and then interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, and fails nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
