"""Proof of a secret that the machines of one run share, without its being sent.

Each side answers the other's random challenge by a keyed digest, so that whoever listens to one
run's connections can neither join them nor pose as one of its ends. What follows is not
encrypted: the network between the machines is trusted with prompts and answers.
"""

from __future__ import annotations

import hmac
import os
import secrets

VARIABLE = "SLBENCH_CLUSTER_SECRET"
"""Of the environment, since a command line is everybody's to read."""

GUEST, HOST = "guest", "host"


def make() -> str:
    return secrets.token_hex(32)


def take() -> str:
    """The secret of this process's environment, which its children are not given."""
    return os.environ.pop(VARIABLE)


def challenge() -> str:
    return secrets.token_hex(16)


def proof(secret: str, who: str, challenge: str) -> str:
    """``who`` answers: one side's answer is never the other's."""
    return hmac.new(secret.encode(), f"{who}:{challenge}".encode(), "sha256").hexdigest()


def proves(secret: str, who: str, challenge: str, answer: object) -> bool:
    return isinstance(answer, str) and hmac.compare_digest(
        proof(secret, who, challenge).encode(), answer.encode()
    )
