"""Cases that fail today, and are known: ``kind: title``. The list only ever gets shorter."""

from __future__ import annotations

KNOWN: frozenset[str] = frozenset()
