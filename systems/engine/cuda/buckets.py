"""The few shapes that steps are padded to, so that a few graphs serve all steps."""

from __future__ import annotations

SHORT_PROMPTS = (64, 128, 256, 512)
LONG_STEP = 256
SMALLEST_CONTEXT = 256
GRANULE = 2 << 20  # bytes: the unit of device memory allocation
TOGETHER = 1024  # prompt tokens: enough to fill a GPU; more would need larger lasting workspaces
LONGEST_PIECE = SHORT_PROMPTS[-1]  # a longer prompt fills the GPU with each of its pieces


def batch_bucket(rows: int) -> int:
    """Round ``rows`` (1 or more) up to a power of two."""
    return 1 << (rows - 1).bit_length()


def prompt_bucket(tokens: int) -> int:
    """Return the length that prompts of up to ``tokens`` are padded to."""
    for length in SHORT_PROMPTS:
        if tokens <= length:
            return length
    return -(-tokens // LONG_STEP) * LONG_STEP


def piece_bucket(tokens: int) -> int:
    """Return the longest padded length of at most ``tokens``; if there is none, the shortest."""
    return max((each for each in SHORT_PROMPTS if each <= tokens), default=SHORT_PROMPTS[0])


def prompts_together(most: int) -> list[tuple[int, int]]:
    """Return the numbers and padded lengths of prompts, two or more and up to a batch of ``most``,
    that one pass computes together, by the number of tokens."""
    shapes = [(count, length) for count in batch_buckets(most)[1:] for length in SHORT_PROMPTS]
    together = [shape for shape in shapes if shape[0] * shape[1] <= TOGETHER]
    return sorted(together, key=lambda shape: shape[0] * shape[1])


def context_bucket(tokens: int, capacity: int) -> int:
    """Return how many of ``capacity`` cached tokens a step attends to if ``tokens`` are used."""
    return min(capacity, max(SMALLEST_CONTEXT, batch_bucket(tokens)))


def batch_buckets(most: int) -> list[int]:
    """Return every bucket of batches of up to ``most``, in ascending order."""
    return [1 << power for power in range(batch_bucket(most).bit_length())]


def context_buckets(capacity: int) -> list[int]:
    """Return every bucket of a cache of ``capacity`` tokens, in ascending order."""
    found = [min(SMALLEST_CONTEXT, capacity)]
    while found[-1] < capacity:
        found.append(min(2 * found[-1], capacity))
    return found


def slot_bytes(bytes_per_token: int, max_context_tokens: int) -> int:
    """Return the device memory for keys and values of one request with a full context."""
    return -(-bytes_per_token * prompt_bucket(max_context_tokens) // GRANULE) * GRANULE
