"""This suite's client as a program: URL MODEL RATE COUNT PROMPT_TOKENS TOKENS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.replay import Schedule, replay


def main() -> None:
    url, model, *numbers = sys.argv[1:]
    rate, count, prompt_tokens, tokens = map(int, numbers)
    schedule = Schedule.from_columns(
        request_id=range(count),
        scheduled_ns=[index * 1_000_000_000 // rate for index in range(count)],
        function_id=[model] * count,
        prompt_ids=[list(range(prompt_tokens))] * count,
        output_tokens=[tokens] * count,
    )
    result = replay(schedule, url, Path.cwd() / "replay", timeout_s=30)
    rows = result.table.select(["sent_ns", "first_token_ns"]).to_pylist()
    timed = [(row["sent_ns"] / 1e9, (row["first_token_ns"] - row["sent_ns"]) / 1e6) for row in rows]
    Path("timed.json").write_text(json.dumps(timed))


if __name__ == "__main__":
    main()
