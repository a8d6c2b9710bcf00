"""``python -m harness`` is ``slbench``."""

from .cli import main

main()
