"""HTTP as uvicorn reads it by httptools, with a bound on what comes before a body, which httptools has not."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recbole_decm.serving.api.guard import MOST_HEAD


class BoundedHeads(HttpToolsProtocol):
    """Ends a connection whose request never comes to its body. Whole heads are measured by the guard."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._open, self._begun, self._head = False, False, 0

    def on_message_begin(self) -> None:
        self._open = self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._open = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._begun = False
        super().data_received(data)
        self._head = self._head + len(data) if self._open and not self._begun else 0
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"Expected at most {MOST_HEAD} bytes before a body, found more.")
