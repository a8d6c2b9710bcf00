"""``slbench workloads``: its output and its errors."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner

from harness.commands.workloads import app
from workloads import catalogue
from workloads.errors import WorkloadError
from workloads.expansion import expand
from workloads.importers.azure_functions_2019 import read_minutes
from workloads.plot import plot
from workloads.trace import Workload

COUNTS = (
    "function,"
    + ",".join(map(str, range(240)))
    + "\n"
    + "".join(
        f"f{i}," + ",".join("5" if minute % 40 == i else "0" for minute in range(240)) + "\n"
        for i in range(3)
    )
)


def slbench(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    return path


def test_every_name_of_the_catalogue_can_be_shown() -> None:
    names = [row["name"] for row in json.loads(slbench("list", "--json"))["workloads"]]
    wanted = {f"azure-{kind}" for kind in ("predictable8", "normal8", "bursty8", "hot3")}
    wanted |= {
        "time-breakdown",
        "lora-zipf-100",
        "lora-zipf-1000",
        "llm-conv",
        "llm-code",
        "steady",
    }
    assert wanted <= set(names)
    for name in wanted - {"lora-zipf-1000"}:
        document = json.loads(slbench("show", name, "--json"))
        assert document["n"] > 0
        assert {"kind", "cv_estimator", "dispersion_60s", "peak_to_mean", "classes"} <= set(
            document
        )


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_workload_is_drawn(suffix: str, tmp_path: Path) -> None:
    for name in ("time-breakdown", "azure-bursty8"):
        path = tmp_path / f"{name}.{suffix}"
        slbench("plot", name, "-o", path)
        assert path.stat().st_size > 10_000


@pytest.mark.parametrize("functions", [1, 3])
def test_every_panel_of_a_small_trace_has_a_scale_and_names_stand_at_their_rows(
    functions: int,
) -> None:
    workload = catalogue.load("time-breakdown", seed=0, functions=functions)
    with mock.patch("matplotlib.figure.Figure.savefig", autospec=True) as saved:
        plot(workload, Path("small.png"))
    arrivals, *others = saved.call_args.args[0].axes
    rows = sorted(each.get_lineoffset() for each in arrivals.collections)
    assert rows == list(arrivals.get_yticks())
    for axis in (axis for ax in others for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        marked = [place for place in axis.get_majorticklocs() if low <= place <= high]
        assert len(marked) > 1, (axis.axes.get_title(), axis.axis_name)


def test_a_single_cv_is_a_line_and_shares_begin_at_0() -> None:
    workload = catalogue.load("time-breakdown", seed=0, functions=1)
    with mock.patch("matplotlib.figure.Figure.savefig", autospec=True) as saved:
        plot(workload, Path("small.png"))
    _, gaps, _, lengths, _ = saved.call_args.args[0].axes
    for line in (gaps.lines[0], *lengths.lines):
        shares = line.get_ydata()
        assert (shares[0], shares[-1]) == (0, 1)


def test_a_trace_of_one_request_has_no_rate_and_is_drawn(tmp_path: Path) -> None:
    trace, path = tmp_path / "one.csv", tmp_path / "one.parquet"
    trace.write_text("arrival_s,function,prompt_tokens,output_tokens\n0,a,10,5\n")
    slbench("import", trace, "-o", path)
    shown = json.loads(slbench("show", path, "--json"))
    assert (shown["n"], shown["rate_rps"], shown["cv"]) == (1, None, None)
    slbench("plot", path, "-o", tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000


def test_a_fit_is_an_entry_that_can_be_named_by_its_path(counts: Path, tmp_path: Path) -> None:
    entry = tmp_path / "mine.toml"
    entry.write_text(slbench("fit", counts))
    again = catalogue.load(str(entry), seed=3)
    assert {f.id for f in again.functions} == {"f0", "f1", "f2"}
    assert len(again) == pytest.approx(90, rel=0.35)


def test_a_recording_with_exact_times_is_fitted_by_them(tmp_path: Path) -> None:
    recorded, entry = tmp_path / "conv.parquet", tmp_path / "again.toml"
    slbench("generate", "llm-conv", recorded, "--set", "duration_s=1200")
    entry.write_text(slbench("fit", recorded))
    first, again = Workload.read(recorded), catalogue.load(str(entry), seed=9)
    assert len(again) == pytest.approx(len(first), rel=0.25)
    assert catalogue.describe(str(entry))["function"][0]["fit"]["observed"]["cv"] > 0


def test_a_compressed_workload_is_fitted_as_it_is_replayed(counts: Path, tmp_path: Path) -> None:
    """Not to the counts per minute of its source, which it sends in another minute."""
    fast, entry = tmp_path / "fast.parquet", tmp_path / "again.toml"
    expand(read_minutes(counts), seed=0).compress(60).write(fast)
    entry.write_text(slbench("fit", fast))
    about = catalogue.describe(str(entry))
    assert about["duration_s"] == 240
    rates = [each["fit"]["observed"]["rate_rps"] for each in about["function"]]
    assert sum(rates) == pytest.approx(90 / 240)


@pytest.mark.parametrize(
    ("times", "line"),
    [
        ((0, 20, 54.5), "mine: lasts 54.5 s, a fit needs 60"),
        ((0, 1, 90), "mine: function b has 1 requests, a fit needs 3"),
    ],
)
def test_what_is_too_short_to_be_fitted_is_refused_in_a_line(
    times: tuple[float, ...], line: str, tmp_path: Path
) -> None:
    rows = [*((at, "a") for at in times), (times[-1], "b")]
    recorded = tmp_path / "mine.csv"
    lines = (f"{at},{function},8,4\n" for at, function in rows)
    recorded.write_text("arrival_s,function,prompt_tokens,output_tokens\n" + "".join(lines))
    with warnings.catch_warnings(action="error"), pytest.raises(WorkloadError, match=f"^{line}$"):
        slbench("fit", recorded)


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_counts_of_a_function_without_gaps_are_not_fitted(calls: int, counts: Path) -> None:
    """One or two calls have no CV: the function was called bursty, in an entry that is no TOML."""
    few = ",".join(["0"] * 239 + [str(calls)])
    counts.write_text(f"{COUNTS}rare,{few}\n")
    line = f"counts: function rare has {calls} requests, a fit needs 3"
    with warnings.catch_warnings(action="error"), pytest.raises(WorkloadError, match=f"^{line}$"):
        slbench("fit", counts)


def test_a_composed_workload_says_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    slbench("generate", "azure-bursty8", path, "--lengths-of", "llm-code", "--keep", 0.5,
            "--tile", 2, "--merge", "time-breakdown")  # fmt: skip
    workload = Workload.read(path)
    assert workload.provenance.kind == "composed"
    parts = workload.provenance.transforms[0].parameters["parts"]
    assert [step["name"] for step in parts[0]["transforms"]][-3:] == ["lengths-of", "thin", "tile"]
    assert {"A", "f0"} <= {f.id for f in workload.functions}


def test_classes_and_segments_of_counts(counts: Path, tmp_path: Path) -> None:
    rows = json.loads(slbench("classify", counts, "--json"))["functions"]
    assert {row["agreed"] for row in rows} == {"normal"}
    assert set(rows[0]["cv"]) == {"instainfer", "equidistant", "uniform"}
    assert "3 of 3" in slbench("classify", counts)
    folder = tmp_path / "segments"
    slbench("segments", counts, "-o", folder, "--class", "normal", "--count", 2,
            "--functions", 2, "--hours", 4)  # fmt: skip
    assert [len(Workload.read(path).functions) for path in folder.iterdir()] == [2, 2]


POPULATION = """
summary = "s"
source = "s"
duration_s = {duration}
[population]
functions = 2
rate_rps = 1
popularity = {{ kind = "{kind}" }}
process = {{ kind = "poisson" }}
churn = {{ every_s = {every}, fraction = 0.5 }}
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("summary = 1\n", "needs one of"),
        ("[population]\n", "lacks"),
        ("not toml", "not a catalogue entry"),
        (POPULATION.format(duration="-1", kind="uniform", every="9"),
         "duration_s: -1 is not right; wanted: number > 0"),
        (POPULATION.format(duration="inf", kind="uniform", every="9"),
         "duration_s: inf is not right; wanted: number > 0"),
        (POPULATION.format(duration="60", kind="unifrm", every="9"),
         "popularity 'unifrm' is unknown"),
    ],
)  # fmt: skip
def test_a_broken_entry_is_refused_with_its_path(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(WorkloadError, match=why) as refused:
        catalogue.load(str(path), seed=0)
    assert str(path) in str(refused.value)
