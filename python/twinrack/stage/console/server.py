"""The console's server: Starlette on uvicorn, on a thread of its own, on this machine only unless asked otherwise.

A browser needs the token and a page of the same origin, and reaches nothing but the desk: no file but the page's own and, by
name, the presets of the racks folder. The address with the token answers with a cookie that scripts cannot read, and
redirects to the address without. Time, headers, messages and what waits for a connection all have bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import re
import secrets
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from ..desk import Desk
from ..events import Event
from ..midi import Midi
from . import state
from .commands import Commands
from .curves import CurveMeter
from .page import Page
from .web import HEADER_BYTES, SAFE, answer, impatient_protocol, page_file, with_bounded_headers

log = logging.getLogger("twinrack.live")
MISSING = "the console needs starlette, uvicorn and websockets: pip install 'twinrack[live]'"
FRAME_S = 1.0 / 60.0
CROWD = 4  # with more pages than this, each gets levels less often
MOST_PAGES = 50
MOST_BYTES = 65536
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class Console:
    """A page that shows and changes what a desk does. One that nobody holds any more ends.

    Args:
        desk: what it changes.
        port: 0 takes any that is free.
        host: where it listens; "0.0.0.0" lets the whole network in, if it knows the token.
        token: must be known to a browser; without, a new one.
        midi: whose controls the page may learn.
        takes: folder that recordings go to.

    Attributes:
        url: where the page is, with the token.
        port: where it listens.
    """

    def __init__(
        self,
        desk: Desk,
        port: int = 8471,
        host: str = "127.0.0.1",
        token: str | None = None,
        midi: Midi | None = None,
        takes: Path | None = None,
    ) -> None:
        self.site = Site(desk, port, host, token, midi, takes)
        self.desk, self.midi, self.takes = desk, midi, takes
        self.port, self.token, self.url = self.site.port, self.site.token, self.site.url
        weakref.finalize(self, self.site.close).atexit = False

    def close(self) -> None:
        """End the server; the sound goes on."""
        self.site.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a console cannot be copied or pickled: it holds a port; make another one on the desk")


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        ValueError, OSError: the port is none, or is taken; one sentence.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OverflowError:
        listening.close()
        raise ValueError(f"port must be an integer from 0 to 65535, got {port}") from None
    except OSError as error:
        listening.close()
        why = error.strerror or error
        raise OSError(f"port {port} on {host} cannot be opened: {why}; take another --port, or --host") from None
    listening.listen(64)
    return listening


class Site:
    """The web server of a console; its threads hold it, and not the console."""

    def __init__(self, desk: Desk, port: int, host: str, token: str | None, midi: Midi | None, takes: Path | None) -> None:
        try:
            import uvicorn
            import websockets  # noqa: F401
            from starlette.applications import Starlette
            from starlette.routing import Route, WebSocketRoute
        except ImportError:
            raise RuntimeError(MISSING) from None
        self.desk = desk
        self.midi = midi
        self.takes = takes
        self.token = token or secrets.token_urlsafe(16)
        self._pass = secrets.token_urlsafe(32)  # what the cookie of who knew the token holds
        self._frames = state.Frames(desk)
        self.pages: set[Page] = set()
        self._host = host
        self._socket = listening_socket(host, port)
        self.port = int(self._socket.getsockname()[1])
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/?token={quote(self.token)}"
        self._cookie = f"twinrack_{self.port}"  # cookies do not tell ports apart
        routes = [
            Route("/", self._index),
            Route("/static/{name}", self._static),
            WebSocketRoute("/live", self._meet),
        ]
        app = Starlette(routes=routes, lifespan=self._life)
        config = uvicorn.Config(
            with_bounded_headers(app), log_level="critical", access_log=False, ws="websockets-sansio", ws_max_size=MOST_BYTES,
            ws_max_queue=32, lifespan="on", timeout_graceful_shutdown=1,
            http=impatient_protocol(), h11_max_incomplete_event_size=HEADER_BYTES,
            proxy_headers=False, server_header=False,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._commands = Commands(desk, midi, takes, self._renew_soon, self._frames.reset)
        self._curves = CurveMeter(desk, self.tell)
        self._ends: list[Callable[[], None]] = [desk.subscribe(self._changed)]
        self._before, desk.stream.on_event = desk.stream.on_event, self._happened
        self._thread = threading.Thread(target=self._run, name="twinrack-console", daemon=True)
        self._thread.start()
        if not self._ready.wait(10.0):
            raise OSError("the console's server did not start")

    def _run(self) -> None:
        asyncio.run(self.server.serve(sockets=[self._socket]))

    @contextlib.asynccontextmanager
    async def _life(self, app: object) -> AsyncIterator[None]:
        self.loop = asyncio.get_running_loop()
        beat = asyncio.create_task(self._beat())
        self._ready.set()
        yield
        beat.cancel()

    def close(self) -> None:
        for end in self._ends:
            end()
        if self.desk.stream.on_event == self._happened:
            self.desk.stream.on_event = self._before
        self._curves.close()
        self.server.should_exit = True
        if self._thread is not threading.current_thread():
            self._thread.join(3.0)
        self.desk.stream.forget_reader("console")

    def _knows(self, token: str | None) -> bool:
        return token is not None and hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def _has_pass(self, cookies: dict[str, str]) -> bool:
        cookie = cookies.get(self._cookie, "")
        return hmac.compare_digest(cookie.encode(errors="replace"), self._pass.encode())

    def _is_ours(self, host: str) -> bool:
        """Whether a request was meant for this server: a name that somebody pointed here is refused (DNS rebinding)."""
        name = re.sub(r":[0-9]+$", "", host).strip("[]").lower()
        if name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name == self._host
        return address.is_loopback or self._host in ("0.0.0.0", "::") or name == self._host

    def _refusal(self, host: str | None) -> Any:
        """The answer to a request that names no host, or another one; None where all is well."""
        if host is None or len(host) > 255 or not HOST.fullmatch(host):
            return answer("The Host header is neither a name nor an address.", 400)
        if not self._is_ours(host):
            return answer("This is not the address of this console.", 421)
        return None

    async def _index(self, request: Any) -> Any:
        host = request.headers.get("host")
        refusal = self._refusal(host)
        if refusal is not None:
            return refusal
        token = request.query_params.get("token")
        if token is not None and self._knows(token):
            return self._let_in()
        if token is None and self._has_pass(request.cookies):
            return page_file("index.html", host)
        return answer("The token is missing or wrong; open the address that twinrack printed.", 403)

    def _let_in(self) -> Any:
        """The token leaves the address: a cookie takes its place, which other sites cannot use and scripts cannot read."""
        from starlette.responses import RedirectResponse

        answer = RedirectResponse("/", 303, headers=SAFE)
        answer.set_cookie(self._cookie, self._pass, httponly=True, samesite="lax", path="/")
        return answer

    async def _static(self, request: Any) -> Any:
        host = request.headers.get("host")
        return self._refusal(host) or page_file(request.path_params["name"], host)

    async def _meet(self, socket: Any) -> None:
        from starlette.websockets import WebSocketDisconnect

        host, origin = socket.headers.get("host"), socket.headers.get("origin") or ""
        same = origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())
        if not same or self._refusal(host) is not None:
            await socket.close(4403)
            return
        await socket.accept()  # a page learns why only once it is open
        if not (self._has_pass(socket.cookies) or self._knows(socket.query_params.get("token"))):
            await socket.close(4403)
            return
        if len(self.pages) >= MOST_PAGES:
            await socket.close(4429)
            return
        page = Page(self._commands, socket)
        self.pages.add(page)
        writing = asyncio.create_task(page.write())
        try:
            await asyncio.to_thread(self._tell_whole, page)
            await asyncio.to_thread(self._curves.tell_all, partial(self._say_soon, page))
            while True:
                await page.hear(await socket.receive())
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self.pages.discard(page)
            writing.cancel()

    async def _beat(self) -> None:
        """Levels, 60 times a second while anybody looks."""
        while True:
            crowd = max(1, -(-len(self.pages) // CROWD))
            await asyncio.sleep(FRAME_S * crowd)
            if not self.pages:
                continue
            try:
                frame = self._frames()
            except Exception:
                log.exception("the console's levels failed")
                await asyncio.sleep(0.5)
                continue
            for page in tuple(self.pages):
                page.show(frame)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell all pages; from any thread."""
        self._soon(self._tell, message)

    def _tell_whole(self, page: Page | None) -> None:
        """Everything, to one page or to all; in order with the changes, which the desk makes one at a time."""
        for attempt in range(5):
            try:
                with self.desk.changing():
                    message = {
                        **state.whole(self.desk),
                        "midi": state.midi(self.midi),
                        "has_midi": self.midi is not None,
                    }
                    self._soon(self._tell if page is None else page.say, message)
                return
            except (KeyError, ValueError):  # Python code is changing the structure without the desk
                time.sleep(0.02 * (attempt + 1))
            except RuntimeError:
                return

    def _soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call something on the server's thread; nothing once that has ended."""
        loop = self.loop
        if loop is None or loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call, *arguments)

    def _say_soon(self, page: Page, message: dict[str, Any]) -> None:
        self._soon(page.say, message)

    def _tell(self, message: dict[str, Any]) -> None:
        for page in tuple(self.pages):
            page.say(message)

    def _changed(self, change: dict[str, Any]) -> None:
        if "set" in change:
            self.tell({"type": "set", "address": change["set"], "to": change["to"], "source": change["source"]})
            self._curves.ask(change["set"].rpartition(".")[0])
        else:
            self._renew_soon()

    def _renew_soon(self) -> None:
        self._soon(self._renew)

    def _renew(self) -> None:
        """A change of structure, snapshots or sides: everything anew, once for many changes."""
        if getattr(self, "_renewing", False):
            return
        self._renewing = True

        async def run() -> None:
            await asyncio.sleep(0.02)
            self._renewing = False
            await asyncio.to_thread(self._tell_whole, None)
            await asyncio.to_thread(self._curves.tell_all, None)

        self._task = asyncio.ensure_future(run())

    def _happened(self, event: Event) -> None:
        self.tell({"type": "event", "at": round(event.at_s, 1), "kind": event.kind, "words": event.words})
        if event.kind == "returned":
            self._renew_soon()
        if self._before is not None:
            self._before(event)
