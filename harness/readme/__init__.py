"""The measured numbers of the project's pages: blocks between marks, each made from a record of
``results/reference``. Pages, records and kinds stand in blocks.toml."""

from .block import Block, blocks
from .pages import made_anew

__all__ = ["Block", "blocks", "made_anew"]
