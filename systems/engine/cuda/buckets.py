"""The few shapes that steps are padded to, so that few graphs serve all of them."""

from __future__ import annotations

SHORT_PROMPTS = (64, 128, 256, 512)
LONG_STEP = 256
SMALLEST_CONTEXT = 256
GRANULE = 2 << 20  # in which a card's memory is handed out
TOGETHER = 1024  # tokens of prompts: they fill a card, and more take workspaces that then stay
GRAPH_TOKENS = SHORT_PROMPTS[-1]  # longer prefills hide their launches behind arithmetic


def batch_bucket(rows: int) -> int:
    """The power of two that ``rows`` (1 or more) are padded to."""
    return 1 << (rows - 1).bit_length()


def prompt_bucket(tokens: int) -> int:
    """The length that prompts of up to ``tokens`` are padded to."""
    for length in SHORT_PROMPTS:
        if tokens <= length:
            return length
    return -(-tokens // LONG_STEP) * LONG_STEP


def context_bucket(tokens: int, capacity: int) -> int:
    """How much of a cache of ``capacity`` tokens a step attends to, ``tokens`` being used."""
    return min(capacity, max(SMALLEST_CONTEXT, batch_bucket(tokens)))


def batch_buckets(most: int) -> list[int]:
    """Every bucket of batches of up to ``most``, in order."""
    return [1 << power for power in range(batch_bucket(most).bit_length())]


def context_buckets(capacity: int) -> list[int]:
    """Every bucket of a cache of ``capacity`` tokens, in order."""
    found = [min(SMALLEST_CONTEXT, capacity)]
    while found[-1] < capacity:
        found.append(min(2 * found[-1], capacity))
    return found


def slot_bytes(bytes_per_token: int, max_context_tokens: int) -> int:
    """Device memory for the keys and values of one request, however long it gets."""
    return -(-bytes_per_token * prompt_bucket(max_context_tokens) // GRANULE) * GRANULE
