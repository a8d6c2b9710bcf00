"""Extract the shell commands of a page, as a reader would type them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"```(?:sh|bash|shell|console)\n(.*?)```", re.DOTALL)
_PROMPT = re.compile(r"^(?:[A-Z]?\$ )")
_PROGRAM = re.compile(r"(?:\.venv/bin/)?(slbench|python|make|ray|curl|export|umask)\b")


def pages() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")),
            ROOT / "harness" / "replay" / "README.md"]  # fmt: skip


def copied(folder: Path) -> Path:
    """Put the pages of the checkout, and its records, into ``folder``, without its code."""
    (folder / "results").mkdir()
    (folder / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    shutil.copytree(ROOT / "docs", folder / "docs")
    for page in pages():
        place = folder / page.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, place)
    return folder


def commands(text: str) -> list[str]:
    """Return the commands of indented and fenced blocks; join continued lines, and strip prompts
    and comments."""
    indented = re.findall(r"^    (\S.*(?:(?<=\\)\n +.*)*)$", text, re.MULTILINE)
    fenced = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    lines = [_PROMPT.sub("", line).replace("\\\n", " ") for line in (*indented, *fenced)]
    return [_without_remark(line) for line in lines if _PROGRAM.match(line)]


def _without_remark(line: str) -> str:
    return re.sub(r"\s+#\s.*$", "", line)


def words(command: str) -> list[str]:
    """Return the program, without the folder of its environment, and its arguments."""
    first, *rest = shlex.split(command)
    return [first.removeprefix(".venv/bin/"), *rest]
