"""Hooks of mkdocs: the site has the pages of the whole checkout, each under its own path, so that
links between them are the same there and here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_PAGES = ("*.md", "docs/*.md", "docs/*.css", "docs/images/*.png", "harness/replay/README.md")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Replace the files of the docs folder by those of the checkout; keep the theme's."""
    root = Path(config.config_file_path).parent
    for file in [each for each in files if each.src_dir == config.docs_dir]:
        files.remove(file)
    for path in _found(root):
        place = path.relative_to(root).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Leave the text of links to what the checkout has and the site has not (records, code)."""
    root = Path(config.config_file_path).parent
    folder = (root / page.file.src_uri).parent

    def linked(found: re.Match[str]) -> str:
        target = (folder / found[2].partition("#")[0]).resolve()
        outside = target.exists() and _uri(target, root) not in files.src_uris
        return found[1] if outside else found[0]

    return _LINK.sub(linked, markdown)


def _found(root: Path) -> Iterator[Path]:
    for pattern in _PAGES:
        yield from sorted(root.glob(pattern))


def _uri(path: Path, root: Path) -> str:
    return path.relative_to(root.resolve()).as_posix()
