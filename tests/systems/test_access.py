"""AccessTokens: where they are stored, which requests they admit, and that none is disclosed."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.access import AccessTokens, check_address, headers
from systems.errors import DeploymentError
from systems.interface import Deployment, Device, Function
from systems.serverful.ports import ports

MINE, THEIRS, ALL = "mine-0123456789abcdef", "theirs-0123456789abcd", "all-0123456789abcdef"


def kept(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.fixture
def tokens(tmp_path: Path) -> AccessTokens:
    return AccessTokens.read(
        kept(tmp_path, f'f0 = ["{MINE}"]\nf1 = ["{THEIRS}"]\n"*" = ["{ALL}"]\n')
    )


@pytest.mark.parametrize(
    ("header", "function", "let_in"),
    [
        (f"Bearer {MINE}", "f0", True),
        (f"bearer {MINE}", "f0", True),
        (f"Bearer {ALL}", "f0", True),
        (f"Bearer {ALL}", "one without tokens", True),
        (f"Bearer {THEIRS}", "f0", False),
        (f"Bearer {MINE}", "one without tokens", False),
        (f"Bearer {MINE[:-1]}", "f0", False),
        (f"Basic {MINE}", "f0", False),
        (MINE, "f0", False),
        ("Bearer", "f0", False),
        ("Bearer \udcff", "f0", False),
        ("", "f0", False),
        (None, "f0", False),
    ],
)
def test_a_function_is_called_with_a_token_of_its_own_or_one_for_all(
    tokens: AccessTokens, header: str | None, function: str, let_in: bool
) -> None:
    assert tokens.allow(header, function) is let_in


def test_no_token_is_told_by_what_holds_them(tokens: AccessTokens) -> None:
    assert not any(token in repr(tokens) for token in (MINE, THEIRS, ALL))
    assert headers(tokens) == {"Authorization": f"Bearer {ALL}"}
    assert headers(None) == {}


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (f'f0 = ["{MINE}"]', 0o644, "chmod 600"),
        (f'f0 = ["{MINE}"]', 0o620, "chmod 600"),
        (f'f0 = "{MINE}"', 0o600, "f0 must be a list"),
        ('f0 = ["short"]', 0o600, "16 characters"),
        (f"f0 = {MINE}", 0o600, "not TOML"),
    ],
)
def test_a_file_that_protects_nothing_is_refused_without_telling_it(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    with pytest.raises(DeploymentError, match=words) as caught:
        AccessTokens.read(kept(tmp_path, text, mode))
    assert MINE not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_rather_than_no_tokens(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="No such file"):
        AccessTokens.of_environment({"SLBENCH_TOKENS": str(tmp_path / "none")})
    assert AccessTokens.of_environment({}) is None


def deployment(host: str) -> Deployment:
    return Deployment(
        functions=(Function(id="f0", backbone="b"), Function(id="f1", backbone="b")),
        backbones={"b": Path("b")},
        devices=(Device(name="cpu:0", memory_bytes=1),),
        host=host,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_another_address_than_loopback_needs_tokens(host: str, tokens: AccessTokens) -> None:
    with pytest.raises(DeploymentError, match="SLBENCH_TOKENS"):
        check_address(deployment(host), None)
    check_address(deployment(host), tokens)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    check_address(deployment(host), None)


def test_a_token_of_a_function_that_is_not_deployed_is_refused(tmp_path: Path) -> None:
    tokens = AccessTokens.read(kept(tmp_path, f'f00 = ["{MINE}"]'))
    with pytest.raises(DeploymentError, match="'f00' is not deployed"):
        check_address(deployment("127.0.0.1"), tokens)


def test_servers_that_ask_for_no_token_listen_to_this_machine_alone() -> None:
    with pytest.raises(DeploymentError, match=r"127\.0\.0\.1, behind a proxy"):
        ports(deployment("0.0.0.0"), 1)
    assert len(ports(deployment("127.0.0.1"), 2)) == 2
