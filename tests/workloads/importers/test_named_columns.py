"""A CSV with any names, units and delimiter is the workload that it would be with ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from workloads.errors import WorkloadError
from workloads.importers import Options, import_file
from workloads.importers.named_columns import named_columns
from workloads.lengths import lacks_lengths
from workloads.trace import Workload

ALL = "arrival=ts,function=user,prompt_tokens=in,output_tokens=out"
PLAIN = "arrival_s,function,prompt_tokens,output_tokens\n0,a,10,20\n1.5,b,30,40\n2,a,5,6\n"


def imported(
    tmp_path: Path,
    content: str,
    columns: str = ALL,
    unit: str | None = None,
    mark: str | None = None,
) -> Workload:
    path = tmp_path / "own.csv"
    path.write_text(content, encoding="utf-8")
    return import_file(
        path, Options(columns=named_columns([columns] if columns else [], unit, mark))
    )


@pytest.mark.parametrize(
    ("content", "unit", "mark"),
    [
        ("ts,user,in,out\n0,a,10,20\n1.5,b,30,40\n2,a,5,6\n", None, None),
        ("out,x,user,ts,in\n20,?,a,1000,10\n40,?,b,2500,30\n6,?,a,3000,5\n", "ms", None),
        ("ts;user;in;out\n1715342400000.0;a;10;20\n1715342401500;b;30;40\n1715342402000;a;5;6\n",
         "ms", ";"),
        ("ts\tuser\tin\tout\n7000000\ta\t10\t20\n8500000\tb\t30\t40\n9000000\ta\t5\t6\n", "us",
         "tab"),
        ("ts|user|in|out\n2024-05-10 12:00:00|a|10|20\n2024-05-10 12:00:01.5|b|30|40\n"
         "2024-05-10 12:00:02|a|5|6\n", "date", "|"),
    ],
)  # fmt: skip
def test_names_units_and_delimiters_give_the_same_requests(
    content: str, unit: str | None, mark: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "plain.csv"
    path.write_text(PLAIN, encoding="utf-8")
    ours, own = import_file(path), imported(tmp_path, content, unit=unit, mark=mark)
    columns = ["arrival_ns", "function", "prompt_tokens", "output_tokens"]
    assert own.requests.select(columns).to_pylist() == ours.requests.select(columns).to_pylist()


def test_a_file_without_functions_is_one_and_without_lengths_says_so(tmp_path: Path) -> None:
    own = imported(tmp_path, "t,x\n3,a\n5,b\n", "arrival=t")
    assert [each.id for each in own.functions] == ["own"]
    assert own.requests["arrival_ns"].to_pylist() == [0, 2_000_000_000]
    assert lacks_lengths(own)


def test_columns_that_have_our_names_need_not_be_named(tmp_path: Path) -> None:
    own = imported(tmp_path, PLAIN.replace("arrival_s", "t"), "arrival=t")
    assert own.requests["output_tokens"].to_pylist() == [20, 40, 6]
    assert not lacks_lengths(own)


@pytest.mark.parametrize(
    ("columns", "unit", "mark", "told"),
    [
        ("arival=ts", None, None,
         "'arival=ts': write what=column.*one of arrival, function, prompt_tokens, output_tokens"),
        ("arrival", None, None, "write what=column, such as --columns arrival=ts,function=user"),
        ("arrival=time", None, None,
         "arrival=time: no such column; the file has: ts, user, in, out"),
        ("function=user", None, None, "name the column of the arrivals; the file has: ts, user"),
        ("arrival=ts,prompt_tokens=in", None, None,
         "name prompt_tokens and output_tokens, or neither"),
        (ALL, "h", None, "--time-unit 'h' is unknown; known: s, ms, us, ns, date"),
        (ALL, None, "||", "one character, or tab"),
        (ALL, "date", None, r"line 2: ts '0' is not a date such as 2024-05-10 12:00:00"),
        (f"{ALL},arrival=in", None, None, "name each of arrival, function, .* once"),
        ("", None, None, "a CSV of your own: slbench workloads import --columns arrival=ts"),
    ],
)  # fmt: skip
def test_what_is_wanted_is_said_in_a_line(
    columns: str, unit: str | None, mark: str | None, told: str, tmp_path: Path
) -> None:
    with pytest.raises(WorkloadError, match=told) as reason:
        imported(tmp_path, "ts,user,in,out\n0,a,10,20\n", columns, unit, mark)
    assert "\n" not in str(reason.value)


@pytest.mark.parametrize("first", ["2024-05-10 12:00:00", "2024-05-10 12:00:00+02:00"])
def test_local_times_are_not_read_between_those_with_an_offset(first: str, tmp_path: Path) -> None:
    other = {19: "2024-05-10 12:00:05+02:00", 25: "2024-05-10 12:00:05"}[len(first)]
    content = f"ts,user,in,out\n{first},a,1,2\n{first},a,1,2\n{other},a,1,2\n"
    with pytest.raises(WorkloadError, match=r"1 row is bad .line 4: .* in every row or in none"):
        imported(tmp_path, content, unit="date")
    assert len(imported(tmp_path, content.replace(other, first), unit="date")) == 3


@pytest.mark.parametrize(("mark", "asked"), [(";", "';'"), ("\t", "tab"), ("|", r"'\|'")])
def test_another_delimiter_and_another_unit_are_told(mark: str, asked: str, tmp_path: Path) -> None:
    content = "ts,user,in,out\n2024-05-10 12:00:00,a,10,20\n".replace(",", mark)
    with pytest.raises(WorkloadError, match=f"to divide it, --delimiter {asked}$"):
        imported(tmp_path, content)
    with pytest.raises(WorkloadError, match=r"is not a time in s .--time-unit names another"):
        imported(tmp_path, content, mark="tab" if mark == "\t" else mark)
