"""The secret of a run, which its machines share: each derives the run's key and certificate from
it (:mod:`.tls`)."""

from __future__ import annotations

import os
import secrets

VARIABLE = "SLBENCH_CLUSTER_SECRET"
"""Of the environment, since a command line is everybody's to read."""


def make() -> str:
    return secrets.token_hex(32)


def take() -> str:
    """The secret of this process's environment, which its children are not given."""
    return os.environ.pop(VARIABLE)
