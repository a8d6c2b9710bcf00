"""A layout is unchanged after it is sent to another process as JSON, including the rotary base."""

from __future__ import annotations

from pathlib import Path

from systems.engine.checkpoint import BackboneLayout, plan_layout


def test_a_layout_is_the_same_after_json(tiny: Path, tmp_path: Path) -> None:
    for name in tiny.iterdir():
        (tmp_path / name.name).symlink_to(name)
    config = tmp_path / "config.json"
    text = config.read_text(encoding="utf-8").replace("10000.0", "123456.0")
    config.unlink()
    config.write_text(text, encoding="utf-8")
    layout = plan_layout(tmp_path, "float32")
    assert layout.config.rope.theta == 123456.0
    assert BackboneLayout.from_json(layout.to_json()) == layout
