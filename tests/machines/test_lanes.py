"""Commands on the GPUs of a machine side by side, here without GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.lanes import Lane, run, shares


def test_each_lane_gets_an_equal_part_of_the_cores() -> None:
    assert list(shares(range(9), 2)) == [range(4), range(4, 8)]


def test_lanes_outlive_a_call_and_the_last_one_interrupts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = "trap 'echo told > $LANE/interrupted; exit' INT; echo up; while :; do sleep 0.1; done"
    scripts = [f"{waits} # $CUDA_VISIBLE_DEVICES"]
    run(tmp_path, scripts, 0.5, last=False)
    assert "runs\nup" in capsys.readouterr().out
    run(tmp_path, scripts, 1.0, last=True)
    assert "ended" in capsys.readouterr().out
    assert (tmp_path / "0" / "interrupted").read_text() == "told\n"
    assert not Lane(tmp_path / "0").running


def test_a_call_ends_as_soon_as_all_lanes_have(tmp_path: Path) -> None:
    run(tmp_path, ["echo $CUDA_VISIBLE_DEVICES > $LANE/gpu"], 60, last=False)
    assert (tmp_path / "0" / "gpu").read_text() == "0\n"


def test_each_lane_may_have_several_gpus(tmp_path: Path) -> None:
    run(tmp_path, ["echo $CUDA_VISIBLE_DEVICES > $LANE/gpus"] * 2, 60, last=False, each=2)
    assert [(tmp_path / lane / "gpus").read_text() for lane in "01"] == ["0,1\n", "2,3\n"]
