"""Docstrings as the site shows them: roles become code, and tables drawn with ``===`` stand in a code block."""

from __future__ import annotations

import re

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([\w.]+)`")
_TABLE = re.compile(r"^(=+(?: +=+)+)\n(?:.*\n)*?\1\n(?:.*\n)*?\1$", flags=re.M)


class PlainMarkdown(griffe.Extension):
    """Turns what the docstrings have of reStructuredText into Markdown."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is None:
            return
        text = _TABLE.sub(lambda table: f"```text\n{table[0]}\n```", obj.docstring.value)
        obj.docstring.value = _ROLE.sub(lambda role: f"`{role[1].rsplit('.', 1)[-1]}`", text)
