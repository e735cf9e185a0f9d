"""`twinrack listen serve`: a test for many listeners on the network, whose answers are on disk before they are confirmed.

The page sends all answers of its listener after each one, with a rising revision; the server writes them beside, syncs and
renames, and only then confirms. A page asks again until it is confirmed, so a killed server loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from ..stage.console.server import listening_socket
from ..stage.console.web import HEADER_BYTES, SAFE, answer, impatient_protocol, with_bounded_headers
from ..system import disk
from ..system.disk import atomic
from .answers import LARGEST, Answers, answers_from, read_answers
from .plan import Plan

MISSING = "listen serve needs starlette and uvicorn; in the clone of twinrack: pip install '.[listen]'"
MOST_LISTENERS = 2000
PATIENCE_S = 300.0  # a page of many megabytes, on a phone
MOST_CONNECTIONS = 1024
ID = re.compile(r"[0-9a-f]{32}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{6,64}")
PART = 1 << 16  # bytes of the page that are sent at once
PAGE_RULES = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; media-src data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


class ListeningServer:
    """Serves a test's page, and keeps what its listeners answer.

    Args:
        page: the HTML file of the test.
        plan: of the test; answers to another one are refused.
        folder: where answers go, a file for each listener.
        port: 0 takes any that is free.
        host: where it listens; "0.0.0.0" lets the whole network in, if it knows the token.
        token: must stand in the address; without, a new one.
        on_change: called with the number of listeners and of those who finished, after each answer.

    Attributes:
        url: the address for listeners, with the token.
        port: where it listens.

    Raises:
        RuntimeError: starlette and uvicorn are not installed.
        ValueError: the page is not that of the plan, or the token is none.
        OSError: the port is taken.
    """

    def __init__(
        self, page: Path, plan: Plan, folder: Path, *, port: int = 8472, host: str = "127.0.0.1", token: str | None = None,
        on_change: Callable[[int, int], None] | None = None,
    ) -> None:  # fmt: skip
        try:
            import uvicorn
            from starlette.applications import Starlette
            from starlette.routing import Route
        except ImportError:
            raise RuntimeError(MISSING) from None
        self.plan, self.folder, self.token = plan, folder, token or secrets.token_urlsafe(16)
        self._on_change = on_change
        if not TOKEN.fullmatch(self.token):
            raise ValueError("a token has 6 to 64 letters, digits, - and _")
        content = disk.read_whole(page, "page", 256 << 20).decode("utf-8", errors="replace")
        if plan.test not in content or "<html " not in content:
            raise ValueError(f"{page} is not the page of this plan; make both again: twinrack listen make")
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; give a folder for answers")
        base = f"/t/{self.token}"
        self._page = content.replace("<html ", f'<html data-server="{base}" ', 1).encode()
        folder.mkdir(parents=True, exist_ok=True)
        self._known = {path.stem: _known(path, plan) for path in sorted(folder.glob("*.json")) if ID.fullmatch(path.stem)}
        self._socket = listening_socket(host, port)
        self.port = int(self._socket.getsockname()[1])
        shown = _own_address() if host in ("0.0.0.0", "::") else host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}{base}/"
        routes = [Route("/t/{token}/", self._index), Route("/t/{token}/answers/{id}", self._put, methods=["PUT"])]
        config = uvicorn.Config(
            with_bounded_headers(Starlette(routes=routes)), log_level="critical", access_log=False, ws="none", lifespan="off",
            timeout_graceful_shutdown=1, http=impatient_protocol(PATIENCE_S, MOST_CONNECTIONS),
            h11_max_incomplete_event_size=HEADER_BYTES, proxy_headers=False, server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._writing = asyncio.Lock()
        self._thread = threading.Thread(target=self._run, name="twinrack-listen", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def close(self) -> None:
        """End the server; what was confirmed is on disk."""
        self._server.should_exit = True
        self._thread.join(5.0)

    @property
    def counts(self) -> tuple[int, int]:
        """Listeners who answered anything, and those who finished."""
        return len(self._known), sum(a.complete for a in self._known.values())

    def _knows(self, request: Any) -> bool:
        given = request.path_params["token"]
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    async def _index(self, request: Any) -> Any:
        from starlette.responses import StreamingResponse

        if not self._knows(request):
            return answer("The address is wrong; open the one that you were given.", 403)
        headers = {**SAFE, "Content-Security-Policy": PAGE_RULES, "Content-Length": str(len(self._page))}
        return StreamingResponse(self._parts(), media_type="text/html; charset=utf-8", headers=headers)

    async def _parts(self) -> AsyncIterator[bytes]:
        """The page, bit by bit, so that who reads slowly holds little of it."""
        for at in range(0, len(self._page), PART):
            yield self._page[at : at + PART]

    async def _put(self, request: Any) -> Any:
        if not self._knows(request):
            return answer("The address is wrong; open the one that you were given.", 403)
        who = request.path_params["id"]
        if not ID.fullmatch(who):
            return answer("That is not the number of a listener.", 400)
        content = b""
        async for part in request.stream():
            content += part
            if len(content) > LARGEST:
                return answer("The answers are too long.", 413)
        try:
            answers = answers_from(content, "what was sent")
        except ValueError as error:
            return answer(str(error), 400)
        if fault := self.plan.fault_of(answers):
            return answer(f"{fault}; open the address anew.", 409)
        async with self._writing:
            before = self._known.get(who)
            if before is None and len(self._known) >= MOST_LISTENERS:
                return answer("This test has all the listeners that it takes.", 403)
            if answers == before:
                return answer("saved", 200)
            if before is not None and (answers.revision <= before.revision or (before.complete and not answers.complete)):
                return answer("This test goes on in another window; close this one.", 409)
            if answers.complete and any(a.complete and a.person == answers.person for k, a in self._known.items() if k != who):
                return answer(f"Somebody called {answers.listener} has finished already: give another name or number.", 409)
            await asyncio.to_thread(self._keep, who, answers)
            self._known[who] = answers
        if self._on_change is not None:
            with contextlib.suppress(OSError):  # who reads our output may have gone
                self._on_change(*self.counts)
        return answer("saved", 200)

    def _keep(self, who: str, answers: Answers) -> None:
        path = self.folder / f"{who}.json"
        with atomic(path) as beside, open(beside, "wb") as file:
            file.write(disk.json_bytes(answers.model_dump(), path, "answers"))
            file.flush()
            os.fsync(file.fileno())


def _known(path: Path, plan: Plan) -> Answers:
    answers = read_answers(path)
    if fault := plan.fault_of(answers):
        raise ValueError(f"{path}: {fault}; give another --answers folder")
    return answers


def _own_address() -> str:
    """The address of this machine on its network; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
