"""Copies the skills' adapters to the cache, from where they are deployed."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path

from systems.engine.adapter_files import WEIGHTS, validate_adapter
from systems.engine.adapter_settings import CONFIG
from systems.engine.checkpoint import validate_checkpoint

from ..cache import adapters_root, make_once
from .registry import skills
from .skill import Skill


def ensure_skills(backbone_dir: Path) -> dict[str, Path]:
    """Return a peft directory for each skill, copied once. Each is apart from this package, which
    every instance may read. Raise ``AdapterError`` if the backbone is not of SmolLM2-135M's shape.
    """
    config = validate_checkpoint(backbone_dir)
    root = adapters_root(backbone_dir)
    found = {}
    for name, skill in skills().items():
        validate_adapter(skill.packaged, config)
        found[name] = make_once(root / _version(skill) / name, partial(_copy, skill))
    return found


def reinstall_skill(made: Path, backbone_dir: Path) -> Path | None:
    """Install on this machine the skill that :func:`ensure_skills` installed at ``made``, maybe on
    another machine. Return None if it is none, or of another version."""
    skill = skills().get(made.name)
    if skill is None or made.parent.name != _version(skill):
        return None
    return ensure_skills(backbone_dir)[skill.name]


def _version(skill: Skill) -> str:
    """Return a name that changes with the adapter's weights."""
    content = (skill.packaged / WEIGHTS).read_bytes()
    return f"skill-{hashlib.blake2b(content, digest_size=4).hexdigest()}"


def _copy(skill: Skill, folder: Path) -> None:
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(skill.packaged / name, folder / name)
