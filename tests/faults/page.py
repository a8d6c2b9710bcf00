"""Regenerate the tables of RELIABILITY.md from the records: ``python -m tests.faults.page``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scipy.stats import binomtest

from harness.readme import Block
from harness.readme.pages import put_into

from .page_of_card import card_campaign, card_soak
from .page_rows import MOMENTS, Record, before, fault_row, series_row, yes

ROOT = Path(__file__).parents[2]
PAGE, RECORDS = ROOT / "RELIABILITY.md", ROOT / "results" / "reliability"


def records(kind: str, folder: Path = RECORDS) -> list[Record]:
    """Read the records of one kind: ``kind.json`` and ``kind-….json``."""
    paths = sorted([*folder.glob(f"{kind}.json"), *folder.glob(f"{kind}-*.json")])
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def campaign(found: Sequence[Record]) -> str:
    moments = [moment for record in found for moment in record["moments"]]
    loads = [load for record in found for load in record.get("load_average", ())]
    cores = found[0]["machine"]["cores"]
    bad = sum(bool(moment["problems"]) for moment in moments)
    seeds = ", ".join(str(record["seed"]) for record in found)
    day = min(record["started_at"] for record in found)[:10]
    lines = [
        f"{len(moments)} moments, seeds {seeds}, {day}, on {cores} cores shared with other work"
        f" (load average {min(loads):.0f} to {max(loads):.0f});"
        f" {len(moments) - bad} passed, {bad} did not.",
        "",
        *MOMENTS,
    ]
    names = sorted({moment["fault"] for moment in moments})
    lines += [
        fault_row(name, [each for each in moments if each["fault"] == name]) for name in names
    ]
    return "\n".join(lines) + "\n"


def soak(found: Sequence[Record]) -> str:
    lines = []
    for each in found:
        lines += [
            f"{each['minutes']:.0f} minutes, level `{each.get('level', 'function')}`,"
            f" {each['rate_rps']:g} requests/s over {each['functions']:,} functions:"
            f" {each['requests']:,} requests, instances started: {each['instances_started']:,},"
            f" requests failed: {each['failed']}{before(each)}. Over the last four fifths:",
            "",
            "| | median | growth (95 %) | at most |",
            "|---|--:|--:|--:|",
            *(series_row(name, series) for name, series in each["series"].items()),
            "",
        ]
    return "\n".join(lines)


def virtual(found: Sequence[Record]) -> str:
    lines = [
        "| isolation level | requests | hours | instances that ran | failed |"
        " memory of the decision core, MB | growth (95 %) | at most |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in found:
        memory = each["memory"]
        low, high = memory["ci95"]
        lines.append(
            f"| {each['isolation']} | {each['requests']:,} | {each['hours']:.1f} |"
            f" {each['instances_started']:,} | {each['failed']} | {memory['median']:.2f} |"
            f" {memory['growth']:+.3f} ({low:+.3f} to {high:+.3f}) | {memory['may_grow']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def mutation(found: Sequence[Record]) -> str:
    lines = [
        "| day | seed | mutants | tried | killed | hung or died | in no test | survived |"
        " killed of those in a test (95 %) |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in found:
        ended, survived = each.get("killed", 0) + each.get("hung or died", 0), each["survived"]
        tried = ended + survived + each.get("in no test", 0)
        low, high = binomtest(ended, ended + survived).proportion_ci(method="wilson")
        lines.append(
            f"| {each['ended_at'][:10]} | {each['seed']} | {each['mutants']:,} | {tried} |"
            f" {each.get('killed', 0)} | {each.get('hung or died', 0)} |"
            f" {each.get('in no test', 0)} | {survived} |"
            f" {ended / (ended + survived):.0%} ({low:.0%} to {high:.0%}) |"
        )
    return "\n".join(lines) + "\n"


def fuzz(found: Sequence[Record]) -> str:
    lines = [
        "| input | tried | none the worse | refused in a line | slowest, s | anything else |",
        "|---|--:|--:|--:|--:|---|",
    ]
    lines += [
        f"| {kind['kind']} | {kind['tried']:,} | {kind['taken']:,} | {kind['refused']:,} |"
        f" {kind['slowest_s']:.1f} | {len(kind['problems']) or '–'} |"
        for record in found
        for kind in record["kinds"]
    ]
    return "\n".join(lines) + "\n"


def neighbour(found: Sequence[Record]) -> str:
    lines = [
        "| | function | p95 TTFT alone, s | flooded, s | by the law, s | within a fifth of it |"
        " within a fifth of alone |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    for each in found:
        ground = f"**{each['mode']}**, {each['backbone']}"
        ground += f", profile {each['profile']}" if "profile" in each else ""
        ground += f", {each['share_rps']:g}/s each"
        ground += f", one instance, {each['shared']} at once" if each.get("shared") else ""
        ground += ", fair shares" if each.get("fair_shares") else ""
        lines += [
            f"| {ground} | {row['function']} (n {row['n']}) | {row['alone_p95_s']:.3f} |"
            f" {row['flooded_p95_s']:.3f} | {row['law_s']:.3f} | {yes(row['holds'])} |"
            f" {yes(row['within_a_fifth_of_alone'])} |"
            for row in each["rows"]
        ]
    return "\n".join(lines) + "\n"


KINDS: dict[str, Callable[[Sequence[Record]], str]] = {
    "campaign": campaign,
    "soak": soak,
    "card-campaign": card_campaign,
    "card-soak": card_soak,
    "fuzz": fuzz,
    "neighbour": neighbour,
    "virtual": virtual,
    "mutation": mutation,
}


def blocks() -> Iterable[Block]:
    for kind in KINDS:
        yield OurBlock(name=kind, page=PAGE.name, kind=kind)


class OurBlock(Block):
    @property
    def begin(self) -> str:
        return f"<!-- {self.name}: generated by python -m tests.faults.page -->"


def made_anew(text: str, folder: Path = RECORDS) -> str:
    for block in blocks():
        text = put_into(text, block, KINDS[block.kind](records(block.kind, folder)))
    return text


if __name__ == "__main__":
    PAGE.write_text(made_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
