"""A folder that one instance can read must not contain files of another; it is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from systems.errors import DeploymentError
from systems.interface import Deployment
from systems.serverless.live.plan import make_plan


@pytest.fixture
def room(deployment: Deployment, tmp_path: Path) -> Path:
    """A folder with a backbone and two adapters in separate folders."""
    shutil.copytree(deployment.backbones["tiny"], tmp_path / "backbone")
    for function in deployment.functions[:2]:
        assert function.adapter is not None
        shutil.copytree(function.adapter, tmp_path / function.id)
    return tmp_path


@pytest.fixture
def deployed(deployment: Deployment) -> Callable[..., Deployment]:
    def deployed(backbone: Path, *adapters: Path) -> Deployment:
        functions = tuple(
            function.model_copy(update={"adapter": adapter})
            for function, adapter in zip(deployment.functions, adapters, strict=False)
        )
        changes = {"backbones": {"tiny": backbone}, "functions": functions}
        return deployment.model_copy(update=changes)

    return deployed


def refusal(deployment: Deployment) -> str:
    with pytest.raises(DeploymentError) as error:
        make_plan(deployment, forks=True)
    return str(error.value)


def test_folders_side_by_side_are_fine_and_one_adapter_for_two_functions(
    room: Path, deployed: Callable[..., Deployment]
) -> None:
    make_plan(deployed(room / "backbone", room / "f0", room / "f1"), forks=True)
    make_plan(deployed(room / "backbone", room / "f0", room / "f0"), forks=True)


def test_an_adapter_below_the_backbone_or_another_adapter_is_refused(
    room: Path, deployed: Callable[..., Deployment]
) -> None:
    for outer in ("backbone", "f1"):
        inner = room / outer / "adapters" / "f0"
        shutil.copytree(room / "f0", inner)
        line = refusal(deployed(room / "backbone", inner, room / "f1"))
        assert line.startswith(f"adapter of f0: {inner} lies in {room / outer}, which is")
        shutil.rmtree(inner.parent)


def test_the_reverse_is_refused(room: Path, deployed: Callable[..., Deployment]) -> None:
    inner = shutil.move(room / "backbone", room / "f0" / "backbone")
    line = refusal(deployed(inner, room / "f0"))
    assert f"backbone tiny: {inner} lies in {room / 'f0'}, which is adapter of f0" in line


def test_the_same_folder_is_refused(room: Path, deployed: Callable[..., Deployment]) -> None:
    for file in (room / "f0").iterdir():
        shutil.copy(file, room / "backbone")
    assert "which is backbone tiny" in refusal(deployed(room / "backbone", room / "backbone"))


def test_links_hide_nothing(room: Path, deployed: Callable[..., Deployment]) -> None:
    shutil.move(room / "f0", room / "backbone" / "f0")
    (room / "f0").symlink_to(room / "backbone" / "f0")
    (room / "link").symlink_to(room / "backbone")
    line = refusal(deployed(room / "link", room / "f0"))
    assert f"{room / 'backbone' / 'f0'} lies in {room / 'backbone'}" in line


def test_a_file_that_is_a_link_out_of_its_folder_is_refused(
    room: Path, deployed: Callable[..., Deployment]
) -> None:
    weights = room / "f0" / "adapter_model.safetensors"
    shutil.move(weights, room / "weights")
    weights.symlink_to(room / "weights")
    line = refusal(deployed(room / "backbone", room / "f0"))
    assert line.startswith(f"{weights}: is a link to {room / 'weights'}")
    (room / "weights").unlink()
    (room / "weights").symlink_to(weights)
    assert "is a link" in refusal(deployed(room / "backbone", room / "f0"))


def test_the_layout_of_the_hugging_face_cache_is_fine(
    room: Path, deployed: Callable[..., Deployment]
) -> None:
    make_plan(deployed(cached(room / "backbone"), cached(room / "f0")), forks=True)


def cached(folder: Path) -> Path:
    """``folder`` in the layout of the cache."""
    repository = folder.with_name(f"models--me--{folder.name}")
    snapshot, blobs = repository / "snapshots" / "c0ffee", repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(folder.iterdir()):
        shutil.move(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    return snapshot
