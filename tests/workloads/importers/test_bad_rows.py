"""A bad row is refused with file and line, or skipped and counted; never dropped silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from workloads.errors import WorkloadError
from workloads.importers import Options, import_file

from . import samples
from .samples import written

SKIP = Options(skip_bad=True)

BAD = {
    "azure-functions-2019": "o1,a1,cccc,http,2,x,1",
    "azure-functions-2021": "a1,g1,later,0.5",
    "azure-llm": "2023-02-30 18:17:03.97,1,1",
    "burstgpt": "5,ChatGPT,many,18,490,Conversation log",
    "mooncake": '{"timestamp": NaN, "input_length": 1, "output_length": 1, "hash_ids": []}',
    "qwen-bailian": "[1, 2",
    "vidur": "3772,54.5,1,1",
    "request-jsonl": '{"req_time": 1, "prompt_len": -1, "output_len": 9}',
    "csv": "1.0,,1,1",
}


def with_row(text: str, row: str) -> str:
    """Insert the row as the third, so that there are rows before and after it."""
    lines = text.splitlines()
    return "\n".join([*lines[:2], row, *lines[2:]]) + "\n"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_file_and_line(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, with_row(samples.BY_FORMAT[name][0], BAD[name]))
    with pytest.raises(WorkloadError) as refused:
        import_file(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: 1 row is bad (line 3: ")
    assert "--skip-bad" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", BAD)
def test_skipped_rows_are_counted_and_change_nothing_else(name: str, tmp_path: Path) -> None:
    good = samples.BY_FORMAT[name][0]
    clean = import_file(written(tmp_path, good))
    skipped = import_file(written(tmp_path, with_row(good, BAD[name])), SKIP)
    lengths = ["function", "prompt_tokens", "output_tokens"]
    assert skipped.requests.select(lengths) == clean.requests.select(lengths)
    assert skipped.functions == clean.functions
    step = skipped.provenance.transforms[0].parameters
    assert step["skipped"] == 1
    assert step["first_skipped"][0].startswith("line 3: ")


@pytest.mark.parametrize("start_s", ["0", "300", "600"])
def test_a_window_that_begins_within_an_earlier_one_is_bad(start_s: str, tmp_path: Path) -> None:
    """Arrivals of windows that overlap or are out of order would be moved behind each other."""
    good = samples.SERVEGEN.replace("600,0,0,,0,0", "600,0.1,1.5,Gamma,0.44,22.5")
    path = written(tmp_path, with_row(good, f"{start_s},1.0,1.5,Gamma,0.44,2.25"))
    with pytest.raises(WorkloadError, match=r"1 row is bad \(line 3: .*before the end"):
        import_file(path)
    assert import_file(path, SKIP).requests == import_file(written(tmp_path, good)).requests


def test_only_the_first_few_of_many_are_shown(tmp_path: Path) -> None:
    rows = "".join(f"x{i},f,1,1\n" for i in range(50))
    path = written(tmp_path, "arrival_s,function,prompt_tokens,output_tokens\n1,f,1,1\n" + rows)
    with pytest.raises(WorkloadError, match=r"50 rows are bad \(line 3: .*line 5: [^;]*; …\)"):
        import_file(path)


def test_rows_of_a_wrong_width_count_in_the_lines_of_those_after(tmp_path: Path) -> None:
    text = "arrival_s,function,prompt_tokens,output_tokens\n1,f\n2,f,1,1\n\n3,f,x,1\n4,f,1,1,1\n"
    path = written(tmp_path, text)
    with pytest.raises(WorkloadError, match=r"4 rows are bad .*line 2: 2 columns, not 4"):
        import_file(path)
    workload = import_file(path, SKIP)
    assert workload.requests["source_row"].to_pylist() == [3]


def test_lines_are_right_beyond_the_first_block_of_a_large_file(tmp_path: Path) -> None:
    many = 300_000
    rows = [f"{i}.5,some-function,1,1" for i in range(many)]
    rows[200_000], rows[-1] = "1,2", "x,f,1,1"
    header = "arrival_s,function,prompt_tokens,output_tokens"
    path = written(tmp_path, "\n".join([header, *rows]))
    assert path.stat().st_size > 1 << 22
    with pytest.raises(
        WorkloadError, match=rf"2 rows .*line 200002: 2 col.*line {many + 1}: arrival_s 'x'"
    ):
        import_file(path)


def test_a_function_named_twice_is_a_bad_row(tmp_path: Path) -> None:
    path = written(tmp_path, "HashFunction,1,2\naaaa,1,1\naaaa,2,2\n")
    with pytest.raises(WorkloadError, match="line 3: function 'aaaa' is named twice"):
        import_file(path)


def test_where_no_row_is_left_there_is_no_workload(tmp_path: Path) -> None:
    path = written(tmp_path, "arrival_s,function,prompt_tokens,output_tokens\nx,f,1,1\n")
    with pytest.raises(WorkloadError, match="has no readable csv row"):
        import_file(path, SKIP)
