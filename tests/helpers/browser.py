"""A page in a real headless browser: what a script finds there, and what the page wrote to the console."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The browser's path; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser to open the page in: none of {', '.join(NAMES)} is on the PATH")
    return found


def probe(page: Path, script: str, folder: Path, width: int = 1200) -> tuple[dict, list[str]]:
    """Open a copy of ``page`` with ``script``, the body of an async function, run when all has loaded.

    Returns:
        What the script returned, and the lines of the console: errors, warnings, blocked requests.
    """
    runner = (
        "<script>addEventListener('load', () => setTimeout(async () => { let found;"
        f"try {{ found = await (async () => {{ {script} }})(); }} catch (error) {{ found = {{error: String(error)}}; }}"
        "const out = document.createElement('pre'); out.id = 'probe'; out.textContent = JSON.stringify(found);"
        "document.body.append(out); }, 200));</script>"
    )
    before, end, after = page.read_text(encoding="utf-8").rpartition("</body>")
    copy = folder / "probed.html"
    copy.write_text(before + runner + end + after, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom", "--enable-logging=stderr"]
    options += ["--virtual-time-budget=20000", f"--window-size={width},1000", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run([chromium(), *options, copy.as_uri()], capture_output=True, text=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found, f"the script did not run: {console or done.stderr[-2000:]}"
    return json.loads(html.unescape(found[1])), console
