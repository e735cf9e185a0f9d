"""HTTP of the console: answers, the page's files, and the bounds on requests and connections."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

MOST_CONNECTIONS = 256
HEADER_BYTES = 16384
PATIENCE_S = 10.0  # for everything but the page's own connection
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
# Older browsers do not count a socket of the same origin as 'self'.
PAGE_RULES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def answer(words: str, status: int) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(words, status, headers=SAFE)


def page_file(name: str, host: str) -> Any:
    """One of the page's own files; no other name leads anywhere."""
    from starlette.responses import Response

    folder = files(__package__) / "static"
    kind = KINDS.get(Path(name).suffix)
    if kind is None or name not in {entry.name for entry in folder.iterdir()}:
        return answer("There is no such page.", 404)
    headers = {**SAFE, "Content-Security-Policy": PAGE_RULES.format(host=host)}
    return Response((folder / name).read_bytes(), media_type=kind, headers=headers)


def with_bounded_headers(app: Any) -> Any:
    """An application that refuses requests with long headers: uvicorn takes those that come in one piece."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        parts = [
            scope.get("raw_path", b""),
            scope.get("query_string", b""),
            *(x for row in scope.get("headers", ()) for x in row),
        ]
        if sum(map(len, parts)) <= HEADER_BYTES:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await answer("The request's headers are too long.", 431)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1009})

    return call


def impatient_protocol(patience_s: float | None = None, most_connections: int = MOST_CONNECTIONS) -> Any:
    """Uvicorn's HTTP on h11, which ends connections without a request of the page, after 10 s or as many as are given."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._end = self.loop.call_later(PATIENCE_S if patience_s is None else patience_s, self._give_up)
            if len(self.connections) > most_connections:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            if self.transport.get_protocol() is self:
                self.transport.abort()

    return Impatient
