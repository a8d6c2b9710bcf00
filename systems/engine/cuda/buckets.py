"""The few shapes that steps are padded to, so that a few graphs serve all steps."""

from __future__ import annotations

SHORT_PROMPTS = (64, 128, 256, 512)
LONG_STEP = 256
SMALLEST_CONTEXT = 256
GRANULE = 2 << 20  # bytes: the unit of device memory allocation
TILE = SHORT_PROMPTS[0]
"""Tokens. Prompts of one pass begin at multiples of it."""
TILES = (1, 2, 3, 4, 6, 8, 12, 16)
"""Numbers of tiles that a pass over prompts is padded to."""
TOGETHER = TILE * TILES[-1]  # tokens: enough to fill a GPU; more would need larger workspaces
LONGEST_PIECE = SHORT_PROMPTS[-1]  # a longer prompt fills the GPU with each of its pieces
FEWEST_ROWS = 32
"""Rows of running requests beside prompts. Fewer are assumed to take as long: the products of a
pass over a tile are bound by reading the weights."""
PATIENCE = 20
"""Passes: how many more, over one prompt each, take about as long as the first run of a shape,
which loads kernels (a 7B model on an H200)."""


def batch_bucket(rows: int) -> int:
    """Round ``rows`` (1 or more) up to a power of two."""
    return 1 << (rows - 1).bit_length()


def prompt_bucket(tokens: int) -> int:
    """Return the length that prompts of up to ``tokens`` are padded to."""
    for length in SHORT_PROMPTS:
        if tokens <= length:
            return length
    return -(-tokens // LONG_STEP) * LONG_STEP


def tiles_of(tokens: int) -> int:
    """Return the number of tiles that ``tokens`` of a prompt take."""
    return -(-tokens // TILE)


def tile_bucket(tiles: int) -> int:
    """Round a pass's tiles up to the next of ``TILES``."""
    return next(each for each in TILES if tiles <= each)


def tile_buckets(most_tokens: int) -> list[int]:
    """Return every bucket of passes over up to ``most_tokens``, at most ``TOGETHER``."""
    return list(TILES[: TILES.index(tile_bucket(tiles_of(min(most_tokens, TOGETHER)))) + 1])


def piece_bucket(tokens: int) -> int:
    """Return the longest padded length of at most ``tokens``; if there is none, the shortest."""
    return max((each for each in SHORT_PROMPTS if each <= tokens), default=SHORT_PROMPTS[0])


def context_bucket(tokens: int, capacity: int) -> int:
    """Return how many of ``capacity`` cached tokens a step attends to if ``tokens`` are used."""
    return min(capacity, max(SMALLEST_CONTEXT, batch_bucket(tokens)))


def batch_buckets(most: int) -> list[int]:
    """Return every bucket of batches of up to ``most``, in ascending order."""
    return [1 << power for power in range(batch_bucket(most).bit_length())]


def mixed_rows(most: int) -> list[int]:
    """Return every number of rows that mixed passes have for the requests that run beside prompts,
    of up to ``most`` in all, in ascending order."""
    if most == 1:
        return []
    rows = batch_buckets(max(most - 1, 2))  # an even number, for aligned addresses behind them
    return [each for each in rows if each >= FEWEST_ROWS] or rows[-1:]


def mixed_row_bucket(rows: int, most: int) -> int:
    """Return the number that ``rows`` are padded to."""
    return next(each for each in mixed_rows(most) if rows <= each)


def context_buckets(capacity: int) -> list[int]:
    """Return every bucket of a cache of ``capacity`` tokens, in ascending order."""
    found = [min(SMALLEST_CONTEXT, capacity)]
    while found[-1] < capacity:
        found.append(min(2 * found[-1], capacity))
    return found


def slot_bytes(bytes_per_token: int, max_context_tokens: int) -> int:
    """Return the device memory for keys and values of one request with a full context."""
    return -(-bytes_per_token * prompt_bucket(max_context_tokens) // GRANULE) * GRANULE
