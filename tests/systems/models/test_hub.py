"""Directories of the Hugging Face cache are taken as they are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from systems.errors import CheckpointError
from systems.models import ensure_backbone, model_name, snapshot
from systems.models.sizes import config_of


@pytest.fixture
def repository(tiny: Path, tmp_path: Path) -> Path:
    """The tiny preset in the layout of the cache, its files links to blobs."""
    made = tmp_path / "models--me--Tiny-1B"
    (made / "blobs").mkdir(parents=True)
    revision = made / "snapshots" / "c0ffee"
    revision.mkdir(parents=True)
    for number, file in enumerate(sorted(tiny.iterdir())):
        shutil.copy(file, made / "blobs" / str(number))
        (revision / file.name).symlink_to(f"../../blobs/{number}")
    return made


def named_main(repository: Path, revision: str) -> None:
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)


def test_a_repository_is_its_only_snapshot(repository: Path) -> None:
    found = repository / "snapshots" / "c0ffee"
    assert ensure_backbone(repository) == ensure_backbone(found) == found
    assert model_name(repository) == model_name(found) == "Tiny-1B"


def test_a_repository_of_the_users_cache_is_found_by_its_name(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(repository.parent))
    assert ensure_backbone("me/Tiny-1B") == repository / "snapshots" / "c0ffee"
    assert config_of("me/Tiny-1B") == config_of("tiny")
    for unknown in ("you/Tiny-1B", "me/Tiny-1B/snapshots", "Tiny-1B"):
        with pytest.raises(CheckpointError, match="neither a preset"):
            ensure_backbone(unknown)


def test_among_several_snapshots_the_main_revision_is_taken(repository: Path) -> None:
    (repository / "snapshots" / "0ld").mkdir()
    with pytest.raises(CheckpointError, match=r"has 2 snapshots.*name one") as refusal:
        snapshot(repository)
    assert "\n" not in str(refusal.value)
    named_main(repository, "c0ffee\n")
    assert snapshot(repository).name == "c0ffee"


def test_a_revision_leads_nowhere_else(repository: Path) -> None:
    (repository / "snapshots" / "0ld").mkdir()
    named_main(repository, "../../elsewhere")
    with pytest.raises(CheckpointError, match="names none of them"):
        snapshot(repository)


def test_other_directories_are_taken_as_they_are(tiny: Path) -> None:
    assert snapshot(tiny) == tiny
    assert model_name(tiny) == "tiny"
