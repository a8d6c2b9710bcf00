"""Qwen-Bailian usage traces (Wang et al., "KVCache Cache in the Wild", USENIX ATC 2025): JSON lines
with ``timestamp`` (s), lengths, ``chat_id``, ``parent_chat_id`` (-1 at a root), ``turn`` and
``hash_ids``, one id per block of 16 prompt tokens.

A session is a root and all its descendants, named by the root's chat. A file is one function. Equal
times are spread by a named rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..trace import Workload
from .assemble import assemble
from .base import Format, Options
from .files import first_object, stem
from .jsonl_rows import Object, hashes, read_jsonl, time_ns, whole
from .parse import SECOND_NS

_KEYS = {"timestamp", "input_length", "output_length", "hash_ids", "chat_id", "parent_chat_id"}
_BLOCK_TOKENS = 16
_ROOT = -1
_MOST_CHAT = 2**62

FORMAT = Format(
    name="qwen-bailian",
    source="Qwen-Bailian traces, github.com/alibaba-edu/qwen-bailian-usagetraces-anon",
    licence="Apache-2.0",
    attribution="Alibaba Cloud; Wang et al., USENIX ATC 2025",
    clock="seconds from the trace's start",
    resolution_ns=1_000_000,
)


def sniff(_path: Path, head: bytes) -> bool:
    return first_object(head).keys() >= _KEYS


def read(path: Path, options: Options) -> Workload:
    rows, bad = read_jsonl(path, _Chats(stem(path)).parse)
    return assemble(FORMAT, options, rows, bad, quantised=True, block_tokens=_BLOCK_TOKENS)


@dataclass
class _Chats:
    """The line of each chat, and its root."""

    function: str
    lines: dict[int, int] = field(default_factory=dict)
    roots: dict[int, int] = field(default_factory=dict)

    def parse(self, row: Object, line: int) -> Object:
        chat = whole(row, "chat_id", _MOST_CHAT)
        parent = whole(row, "parent_chat_id", _MOST_CHAT, least=_ROOT)
        # A parent from before the trace is treated as an unseen root.
        root = chat if parent == _ROOT else self.roots.get(parent, parent)
        read = {
            "at_ns": time_ns(row, "timestamp", SECOND_NS),
            "function": self.function,
            "prompt_tokens": whole(row, "input_length"),
            "output_tokens": whole(row, "output_length"),
            "session": str(root),
            "turn": whole(row, "turn"),
            "parent": self.lines.get(parent),
            "prefix_hashes": hashes(row, "hash_ids"),
        }
        self.lines[chat], self.roots[chat] = line, root
        return read
