"""The tables of RELIABILITY.md from records of runs on a card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .page_rows import MOMENTS, Record, before, fault_row, series_row, yes

NO_RECORD = "No record yet.\n"


def card_campaign(found: Sequence[Record]) -> str:
    """As of a campaign on cores, with what it ran on; the faults in the order of the records."""
    if not found:
        return NO_RECORD
    lines = [_card_line(each) for each in found]
    moments = [moment for record in found for moment in record["moments"]]
    names = list(dict.fromkeys(moment["fault"] for moment in moments))
    lines += ["", *MOMENTS]
    lines += [
        fault_row(name, [each for each in moments if each["fault"] == name]) for name in names
    ]
    return "\n".join(lines) + "\n"


def _card_line(record: Record) -> str:
    bad = sum(bool(moment["problems"]) for moment in record["moments"])
    return (
        f"- {len(record['moments'])} moments, backbone {record['backbone']}, seed {record['seed']},"
        f" {record['started_at'][:10]}, {record['card'] or 'CPU'},"
        f" {record['machine']['cores']} cores: {len(record['moments']) - bad} passed, {bad} did not"
    )


def card_soak(found: Sequence[Record]) -> str:
    if not found:
        return NO_RECORD
    return "\n".join(line for each in found for line in _card_soak(each))


def _card_soak(each: Record) -> Iterable[str]:
    places = f" over {each['places']} places" if each["places"] else ""
    told = f", of {each['minutes_planned']:g}" if each["interrupted"] else ""
    yield (
        f"{each['minutes']:.1f} minutes{told}, {each['card'] or 'CPU'}, backbone"
        f" {each['backbone']}, isolation level {each['level']}, {each['ended_at'][:10]}:"
        f" {each['rate_rps']:g} requests/s to {each['functions']:,} functions{places}"
        f" ({each['popularity']}), {each['requests']:,} requests, {each['instances_started']:,}"
        f" instances started, {each['failed']} requests failed{before(each)}. Memory of the device"
        f" that processes held after their end: {each['of_ended_mb']['mean']:.1f} MB in the mean"
        f" of all samples; not given back at the end: {'; '.join(each['left']) or 'none'}. Over the"
        " last four fifths:"
    )
    yield from ("", "| | median | growth (95 %) | at most | flat |", "|---|--:|--:|--:|---|")
    for name, series in each["series"].items():
        yield f"{series_row(name, series)} {yes(series['flat'])} |"
    yield ""
