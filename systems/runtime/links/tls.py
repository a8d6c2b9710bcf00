"""Mutual TLS with one key for a run.

Every machine derives the same key and the same self-signed certificate from the secret of the run.
Only the secret is distributed; it is never sent over a link. Both ends present this certificate and
accept no other.
"""

from __future__ import annotations

import functools
import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

# The standard library supports TLS but cannot make certificates.
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HANDSHAKE_S = 10.0
"""Timeout for a peer to prove that it has the key, and again for its introduction after that."""
CLOSE_S = 2.0
"""Timeout for a peer to confirm the end of a connection."""

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slbench run")])
_VALID = datetime(2000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)
"""Always valid (RFC 5280, 4.1.2.5): a key is used for one run only, and machines' dates differ."""
_SALT = b"slbench: key of a run"


def server_context(secret: str) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, secret)
    context.num_tickets = 0  # A session is never resumed.
    return context


def client_context(secret: str) -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_CLIENT, secret)


def _context(protocol: int, secret: str) -> ssl.SSLContext:
    certificate, key = _pair(secret)
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # The certificate itself is pinned.
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate.decode("ascii"))
    with _in_memory(certificate + key) as path:
        context.load_cert_chain(path)
    return context


@functools.lru_cache(maxsize=4)
def _pair(secret: str) -> tuple[bytes, bytes]:
    """Return certificate and key as PEM. Ed25519 signs deterministically, so equal secrets give
    equal certificates. Scrypt makes a typed secret costly to guess from the public key."""
    seed = hashlib.scrypt(secret.encode(), salt=_SALT, n=1 << 14, r=8, p=1, dklen=32)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    certificate = (
        x509.CertificateBuilder(_NAME, _NAME, key.public_key(), 1, *_VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yield a path to ``content`` in memory: ``ssl`` reads keys only from files."""
    fd = os.memfd_create("slbench-tls")
    try:
        os.write(fd, content)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


_FOREIGN = {
    "CERTIFICATE_VERIFY_FAILED",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
}


def why(error: OSError) -> str:
    """Explain why a handshake failed, in a sentence about the other end."""
    if isinstance(error, ssl.SSLError):
        known = error.reason in _FOREIGN
        detail = (error.reason or "no reason given").lower().replace("_", " ")
        return "it does not know the secret of this run" if known else f"no TLS: {detail}"
    if isinstance(error, ConnectionAbortedError):
        return f"it did not complete its handshake within {HANDSHAKE_S:g} s"
    return "it hung up in the handshake; check that it has the secret of this run"
