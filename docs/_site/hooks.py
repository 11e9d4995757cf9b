"""Hook of the documentation site: pages that stand at the top level of the project."""

from __future__ import annotations

import re
from pathlib import Path

_INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", flags=re.M)
_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)]+)\)")


def _moved(link: re.Match) -> str:
    """A link of a top-level page as it reads below docs/; one to a file that is no page becomes plain text."""
    text, target = link.groups()
    if target.startswith(("http", "#")):
        return link[0]
    path, mark, anchor = target.partition("#")
    page = _PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    return f"[{text}]({page}{mark}{anchor})" if page else f"`{text}`"


def on_page_markdown(markdown: str, config, **_) -> str:
    """Fill in ``<!-- include: FILE -->`` with a file of the top level."""
    root = Path(config.config_file_path).parent
    return _INCLUDE.sub(lambda name: _LINK.sub(_moved, (root / name[1]).read_text(encoding="utf-8")), markdown)
