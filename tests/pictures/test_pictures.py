"""The pictures of the pages are of the committed records, small, and shown."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from .figures import PICTURES, drawn

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
SCREENS = {"report", "live-view"}
MOST_BYTES = 150_000
REMAKE = "make pictures remakes it"


@pytest.mark.usefixtures("png_only")
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_its_records_draw_now(name: str) -> None:
    kept, now = (plt.imread(file) for file in (IMAGES / f"{name}.png", io.BytesIO(drawn(name))))
    assert kept.shape == now.shape, REMAKE
    assert np.abs(kept - now).mean() < 1e-3, REMAKE


def test_every_picture_is_small_and_in_a_page() -> None:
    told = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = {path.stem: path for path in IMAGES.glob("*.png")}
    assert set(found) == {*PICTURES, *SCREENS}
    for name, path in found.items():
        assert path.stat().st_size <= MOST_BYTES, name
        assert f"images/{name}.png" in told, name
