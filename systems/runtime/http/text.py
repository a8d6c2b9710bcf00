"""Converts between text and token ids with the model's own tokenizer and chat template."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from systems.errors import CheckpointError

# Texts arrive one at a time, so the tokenizer's thread pool would add only overhead.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

MOST_HELD = 32
"""Tokens that a decoder holds back."""
_MOST_BEFORE_LAST = 3
"""Tokens of a character before its last: UTF-8 has at most four bytes."""


class Text:
    """The tokenizer of one backbone directory (Hugging Face layout)."""

    def __init__(self, model_dir: Path) -> None:
        path = model_dir / "tokenizer.json"
        if not path.exists():
            raise CheckpointError(f"{model_dir}: no tokenizer.json; a fast tokenizer is needed")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._settings = _read_json(model_dir / "tokenizer_config.json")
        self._template = _chat_template(model_dir, self._settings)
        self.stop_ids = _stop_ids(model_dir)
        self.vocabulary = _vocabulary(model_dir) or self._tokenizer.get_vocab_size()
        self.longest = max(map(len, self._tokenizer.get_vocab()))
        """Length of the longest token in characters (or bytes, for a byte-level vocabulary)."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        # encode() holds the interpreter lock; this releases it for other threads.
        (found,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=special)
        ids: list[int] = found.ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Return the token ids of a conversation, ready for the assistant's turn. ``ValueError`` if
        the model has no chat template or the template rejects the messages."""
        if self._template is None:
            raise ValueError("this model has no chat template; use /v1/completions")
        try:
            prompt = self._template.render(
                messages=messages, add_generation_prompt=True, **_special_tokens(self._settings)
            )
        except TemplateError as error:
            raise ValueError(f"the model's chat template rejects this: {error}") from error
        return self.encode(prompt, special=False)

    def decoder(self, *, skip_special: bool) -> Decoder:
        return Decoder(self._tokenizer, skip_special)


class Decoder:
    """Converts token ids to text one at a time; holds back incomplete characters.

    The stream decodes all tokens again that it holds back, for each further one. Special tokens
    that are skipped, and bytes that are no character, are held back without end, so after
    :data:`MOST_HELD` of them the stream begins again behind them: else an answer of such tokens
    takes time quadratic in its length, in which the gateway serves nobody.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special: bool) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._stream = DecodeStream(skip_special_tokens=skip_special)
        self._held: list[int] = []
        self._before: deque[int] = deque(maxlen=MOST_HELD)
        """The last tokens whose text was returned. A text goes on otherwise than it begins, where
        some tokenizers leave out a space."""

    def text(self, token: int) -> str:
        """Return the text that ``token`` completes, possibly empty."""
        text = self._step(token)
        return self._begin_again() if len(self._held) >= MOST_HELD else text

    def _step(self, token: int) -> str:
        text: str | None = self._stream.step(self._tokenizer, token)
        self._held.append(token)
        if not text:
            return ""
        self._before.extend(self._held)
        self._held.clear()
        return text

    def _begin_again(self) -> str:
        """Return the text of what is held back, but for what may be the beginning of a character,
        which a new stream holds back."""
        over, rest = self._held[:-_MOST_BEFORE_LAST], self._held[-_MOST_BEFORE_LAST:]
        self._stream = DecodeStream(list(self._before), skip_special_tokens=self._skip_special)
        self._held = []
        text: str = self._tokenizer.decode(over, skip_special_tokens=self._skip_special)
        return text + "".join(map(self._step, rest))


def _chat_template(model_dir: Path, settings: dict[str, Any]) -> Any:
    path = model_dir / "chat_template.jinja"
    source = path.read_text(encoding="utf-8") if path.exists() else settings.get("chat_template")
    if not isinstance(source, str):
        return None
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _raise
    return environment.from_string(source)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _special_tokens(settings: dict[str, Any]) -> dict[str, str]:
    found = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        token = settings.get(name)
        if token:
            found[name] = token["content"] if isinstance(token, dict) else token
    return found


def _stop_ids(model_dir: Path) -> tuple[int, ...]:
    """Read the stop tokens from generation_config.json, or else from config.json."""
    for name in ("generation_config.json", "config.json"):
        value = _read_json(model_dir / name).get("eos_token_id")
        if value is not None:
            return tuple(value) if isinstance(value, list) else (value,)
    return ()


def _vocabulary(model_dir: Path) -> int | None:
    """Return the number of ids that the model embeds; the tokenizer may have more, or others."""
    size: int | None = _read_json(model_dir / "config.json").get("vocab_size")
    return size


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
