"""Formats by name; third-party formats are registered by an entry point."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packages import install
from workloads.errors import WorkloadError
from workloads.importers import Options, import_file, importer, names

from ..test_guide import block
from . import samples
from .samples import written

STRANGER = block("python", "FORMAT")  # from the guide


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a third-party package, as an installer does."""
    modules = {
        "stranger_importer.py": STRANGER,
        "raises_importer.py": "raise RuntimeError('no licence file')\n",
    }
    install(
        tmp_path,
        "stranger",
        modules,
        "[slbench.importers]\npipes = stranger_importer\nbroken = stranger_importer:gone\n"
        "empty = json\nraises = raises_importer\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_strangers_format_is_named_and_read_like_our_own(tmp_path: Path) -> None:
    assert len(STRANGER.splitlines()) < 25
    assert {"pipes", "csv"} <= set(names())
    path = written(tmp_path, "t,user,in,out\n0.5,ann,3,4\n")
    workload = import_file(path, Options(), "pipes")
    assert workload.requests["function"].to_pylist() == ["ann"]
    assert importer("pipes").sniff(path, path.read_bytes())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "why"),
    [("broken", "gone"), ("empty", "lacks FORMAT"), ("raises", "RuntimeError: no licence file")],
)
def test_a_strangers_importer_that_cannot_be_loaded_is_one_line(name: str, why: str) -> None:
    with pytest.raises(WorkloadError, match=f"format '{name}'.*{why}"):
        importer(name)


@pytest.mark.usefixtures("installed")
def test_files_are_read_beside_a_broken_importer_which_is_named_where_none_takes_them(
    tmp_path: Path,
) -> None:
    assert len(import_file(written(tmp_path, samples.PLAIN))) > 0
    with pytest.raises(WorkloadError, match=r"no known format.*raises.*no licence file"):
        import_file(written(tmp_path, "hello\n"))


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="'psv' is unknown; known: azure-functions-2019, "):
        importer("psv")
    with pytest.raises(WorkloadError, match="no known format; known: azure-functions-2019, "):
        import_file(written(tmp_path, "hello\n"))


def test_a_file_that_could_be_of_two_formats_asks_which(tmp_path: Path) -> None:
    lines = samples.VIDUR_CLOCKED.splitlines()
    lines[0] += ",arrival_s,function,prompt_tokens,output_tokens"
    path = written(tmp_path, "\n".join([lines[0], *(f"{line},1,f,2,3" for line in lines[1:])]))
    with pytest.raises(WorkloadError, match="could be csv or vidur; name one with --format"):
        import_file(path)
    assert import_file(path, None, "csv").requests["prompt_tokens"].to_pylist() == [2, 2]
