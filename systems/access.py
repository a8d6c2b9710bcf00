"""Who may call which function: bearer tokens, kept in a file that the environment names.

The file is TOML, a list of tokens a function, and under ``"*"`` those that may call every one:

    "*" = ["…"]
    my-function = ["…", "…"]

It must be readable by its owner alone. What is kept of a token is a digest; tokens never enter a
record, a command line or a manifest.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .errors import DeploymentError
from .interface import Deployment

VARIABLE = "SLBENCH_TOKENS"
EVERY = "*"
SHORTEST = 16
"""Characters; ``python -c 'import secrets; print(secrets.token_urlsafe(32))'`` makes a good one."""


@dataclass(frozen=True)
class AccessTokens:
    """Digests by function. ``operator``: a token for every function, to call them all with."""

    digests: Mapping[str, tuple[bytes, ...]]
    operator: str | None = field(default=None, repr=False)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Those of the file that ``SLBENCH_TOKENS`` names; None where it names none."""
        named = environment.get(VARIABLE)
        return cls.read(Path(named).expanduser()) if named else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """``DeploymentError`` where others could read it, or it is no such file."""
        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise DeploymentError(f"{path}: others may read the tokens; chmod 600 {path}")
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            if isinstance(error, DeploymentError):
                raise
            # What is wrong with a line must not be told with the line.
            why = getattr(error, "strerror", None) or "not TOML"
            raise DeploymentError(f"{path}: no tokens can be read: {why}") from None
        digests = {name: _digests(path, name, given) for name, given in content.items()}
        return cls(digests, next(iter(content.get(EVERY, ())), None))

    def check(self, functions: Iterable[str]) -> None:
        """Refuse names that are not deployed: a misspelt one would protect nothing."""
        unknown = sorted(set(self.digests) - set(functions) - {EVERY})
        if unknown:
            raise DeploymentError(f"tokens: function {unknown[0]!r} is not deployed")

    def known(self, header: str | None) -> bool:
        """Whether an Authorization header carries a token of any function."""
        return _among(header, [one for each in self.digests.values() for one in each])

    def allow(self, header: str | None, function: str) -> bool:
        """Whether it carries one of this function, or one for all."""
        return _among(header, [*self.digests.get(function, ()), *self.digests.get(EVERY, ())])


def headers(tokens: AccessTokens | None) -> dict[str, str]:
    """What whoever deployed the functions sends with its requests."""
    operator = tokens.operator if tokens else None
    return {"Authorization": f"Bearer {operator}"} if operator else {}


def check_address(deployment: Deployment, tokens: AccessTokens | None) -> None:
    """Refuse to listen where other machines can call, unless callers are asked who they are."""
    if tokens is None and not is_loopback(deployment.host):
        raise DeploymentError(
            f"host {deployment.host}: reached from other machines, and nobody is asked for a token;"
            f" name a file of tokens in {VARIABLE}, or listen on 127.0.0.1"
        )
    if tokens is not None:
        tokens.check((*(each.id for each in deployment.functions), *deployment.backbones))


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digests(path: Path, name: str, given: Any) -> tuple[bytes, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise DeploymentError(f"{path}: {name} must be a list of tokens")
    if any(len(one) < SHORTEST or not one.isascii() for one in given):
        raise DeploymentError(
            f"{path}: a token of {name} is too short or not ASCII; {SHORTEST} characters at least"
        )
    return tuple(_digest(one) for one in given)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _among(header: str | None, digests: Iterable[bytes]) -> bool:
    """In a time that does not depend on where a token differs, nor on which one it is."""
    kind, _, token = (header or "").partition(" ")
    offered = _digest(token.strip())
    found = [hmac.compare_digest(offered, digest) for digest in digests]
    return kind.lower() == "bearer" and any(found)
