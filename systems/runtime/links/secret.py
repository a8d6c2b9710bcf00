"""The secret that the machines of a run share; each derives the run's key and certificate from it
(:mod:`.tls`)."""

from __future__ import annotations

import os
import secrets

VARIABLE = "SLBENCH_CLUSTER_SECRET"
"""Environment variable of the secret; every user could read it on a command line."""


def make() -> str:
    return secrets.token_hex(32)


def take() -> str:
    """Return the secret and remove it from the environment, so that children do not get it."""
    return os.environ.pop(VARIABLE)
