"""``python -m tests.pictures [FOLDER]``: remake the pictures of the README and of docs from the
committed records: figures, and screenshots of the report and of the live view (by chromium)."""

from __future__ import annotations

import sys
from pathlib import Path

from .figures import draw_figures
from .screens import live_view, report_page, screenshot

FOLDER = Path("docs/images")


def main(folder: Path) -> None:
    draw_figures(folder)
    screenshot(report_page(), (1100, 2000), folder / "report.png")
    screenshot(live_view(), (1000, 400), folder / "live-view.png")
    print("\n".join(str(path) for path in sorted(folder.glob("*.png"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
