"""The measured numbers of the project's pages: blocks between markers, each generated from a record
of ``results/reference``. blocks.toml lists pages, records and kinds."""

from .block import Block, blocks

__all__ = ["Block", "blocks"]
