"""Opens a page in Debian's chromium, without a driver: the page is the document of a frame of the
given width, and a script beside it looks into the frame."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_LISTEN = """<script>
window.said = [];
window.addEventListener("error", (event) => said.push(event.message));
window.addEventListener("unhandledrejection", (event) => said.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => said.push(event.blockedURI));
console.error = (...told) => said.push(told.join(" "));
</script>"""
_WRAPPER = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe>
<pre id="found"></pre>
<script>
const frame = document.getElementById("frame");
const until = async (holds) => {{
  for (let turn = 0; turn < 400 && !holds(); turn++) await new Promise((go) => setTimeout(go, 25));
}};
frame.onload = async () => {{
  const tab = frame.contentWindow, by = (id) => tab.document.getElementById(id);
  const choose = (id, index) => {{ by(id).selectedIndex = index; by(id).onchange(); }};
  let found;
  try {{
    found = await (async () => {{ {look} }})();
  }} catch (error) {{ tab.said.push(String(error)); }}
  const asked = tab.performance.getEntriesByType("resource").map((each) => each.name);
  document.getElementById("found").textContent = JSON.stringify({{ found, said: tab.said, asked }});
}};
</script>"""


def browser() -> str:
    """Return the browser's path; skip the test, with what would install one, if there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no browser here: apt-get install chromium")
    return found


def look_into(
    page: str, look: str, folder: Path, *, width: int, height: int = 900, dark: bool = False
) -> dict[str, Any]:
    """Open ``page`` and run ``look``, the body of an async function of JavaScript that may use
    ``tab`` (the page's window), ``by(id)``, ``choose(id, index)`` and ``until(condition)``. Return
    ``found``, what it returned; ``said``, every error of the page; ``asked``, what it fetched. A
    picture is kept in ``folder``."""
    listening = page.replace("<head>", f"<head>{_LISTEN}", 1)
    wrapper = folder / f"wrapper-{width}.html"
    text = _WRAPPER.format(width=width, height=height, page=html.escape(listening), look=look)
    wrapper.write_text(text, encoding="utf-8")
    picture = folder / f"page-{width}.png"
    done = subprocess.run(
        [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 500)},{height}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--virtual-time-budget=15000", f"--screenshot={picture}", "--dump-dom",
            wrapper.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    seen: dict[str, Any] = json.loads(html.unescape(found))
    return seen
