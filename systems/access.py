"""Access control: the bearer tokens that may call each function.

``SLBENCH_TOKENS`` names a TOML file that lists the tokens of each function; those under ``"*"``
may call every function:
    "*" = ["…"]
    my-function = ["…", "…"]

Only the owner may have access to the file. Only digests of the tokens are stored; tokens never
enter a record, a command line or a manifest.
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
"""Characters. ``python -c 'import secrets; print(secrets.token_urlsafe(32))'`` makes a token."""


@dataclass(frozen=True)
class AccessTokens:
    """Token digests by function. ``operator``: a token that may call every function."""

    digests: Mapping[str, tuple[bytes, ...]]
    operator: str | None = field(default=None, repr=False)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Read the file that ``SLBENCH_TOKENS`` names; return None if it is not set."""
        named = environment.get(VARIABLE)
        return cls.read(Path(named).expanduser()) if named else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raise ``DeploymentError`` if other users can access the file or it cannot be parsed."""
        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise DeploymentError(f"{path}: others may read the tokens; chmod 600 {path}")
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            if isinstance(error, DeploymentError):
                raise
            # The original error may quote a line of the file, and with it a token.
            why = getattr(error, "strerror", None) or "not TOML"
            raise DeploymentError(f"{path}: no tokens can be read: {why}") from None
        digests = {name: _digests(path, name, given) for name, given in content.items()}
        return cls(digests, next(iter(content.get(EVERY, ())), None))

    def check(self, functions: Iterable[str]) -> None:
        """Reject tokens of functions that are not deployed: a misspelt name protects nothing."""
        unknown = sorted(set(self.digests) - set(functions) - {EVERY})
        if unknown:
            raise DeploymentError(f"tokens: function {unknown[0]!r} is not deployed")

    def known(self, header: str | None) -> bool:
        """Whether an Authorization header carries a token of any function."""
        return _among(header, [one for each in self.digests.values() for one in each])

    def allow(self, header: str | None, function: str) -> bool:
        """Whether the header carries a token of this function, or one for every function."""
        return _among(header, [*self.digests.get(function, ()), *self.digests.get(EVERY, ())])


def caller(header: str | None) -> str:
    """Return what tells callers apart: the digest of the token in an Authorization header."""
    return _digest(_offered(header)).hex()


def headers(tokens: AccessTokens | None) -> dict[str, str]:
    """Return the headers that authorize the deployer's own requests."""
    operator = tokens.operator if tokens else None
    return {"Authorization": f"Bearer {operator}"} if operator else {}


def check_address(deployment: Deployment, tokens: AccessTokens | None) -> None:
    """Raise ``DeploymentError`` for an address that other machines reach, unless tokens are set."""
    if tokens is None and not is_loopback(deployment.host):
        raise DeploymentError(
            f"host {deployment.host}: other machines can reach it, and no access tokens are set;"
            f" name a file of tokens in {VARIABLE}, or listen on 127.0.0.1"
        )
    if tokens is not None:
        tokens.check((*(each.id for each in deployment.functions), *deployment.backbones))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
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
    """Take the same time wherever a token differs and whichever token matches."""
    offered = _digest(_offered(header))
    found = [hmac.compare_digest(offered, digest) for digest in digests]
    return any(found)


def _offered(header: str | None) -> str:
    """Return the token in an Authorization header; empty if there is none."""
    kind, _, token = (header or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
