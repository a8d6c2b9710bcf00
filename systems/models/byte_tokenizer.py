"""A tokenizer for random models: encodes text as bytes and decodes every id of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
_SPECIAL = ("<pad>", "<s>", "</s>")
_CHAT = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def save_tokenizer(target: Path, vocabulary: int) -> None:
    """Write ``tokenizer.json`` and its settings for a model of ``vocabulary`` ids (≥ 259). Ids
    beyond special tokens and bytes decode to made-up words, which only the model produces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    entries = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    entries += islice(_words(), vocabulary - len(entries))
    tokenizer = Tokenizer(
        models.BPE(vocab={entry: index for index, entry in enumerate(entries)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    pad, bos, eos = _SPECIAL
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, bos_token=bos, eos_token=eos, chat_template=_CHAT
    ).save_pretrained(target)


def _words() -> Iterator[str]:
    """Yield pronounceable words of two syllables, then three, each with a leading space ("Ġ" in
    the byte-level alphabet)."""
    syllables = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
    for count in (2, 3):
        for parts in product(syllables, repeat=count):
            yield "Ġ" + "".join(parts)
