"""The page's server: Starlette on uvicorn, on a thread of its own, on this machine only unless asked otherwise.

Who comes needs the token, a page of the same origin, and reaches nothing but the desk: there is no path to a file but the
page's own and, by name, the presets of the racks folder. The address with the token answers with a cookie that scripts cannot
read and leads on to the address without. Time, headers, messages and what waits for a connection all have bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import re
import secrets
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from ...checks import check_text
from ..desk import Desk
from ..flow import Flow
from ..midi import Midi
from ..stream import Event
from . import state

log = logging.getLogger("twinrack.live")
MISSING = "the console needs starlette, uvicorn and websockets: pip install 'twinrack[live]'"
FRAME_S = 1.0 / 60.0
CROWD = 4  # from so many pages on, each is told less often
CURVE_S = 0.15  # an effect that is being moved is measured so often
MOST_PAGES = 50
MOST_BYTES = 65536
MOST_CONNECTIONS = 256
MOST_MESSAGES = 500  # a second, of one page; more wait
MOST_WAITING = 8 << 20  # bytes of words for a page that does not read; then it must come anew
HEADER_BYTES = 16384
PATIENCE_S = 10.0  # for everything but the page's own connection
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
# Older browsers do not count a socket of the same origin as 'self'.
PAGE_RULES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Console:
    """A page that shows and changes what a desk does. One that nobody holds any more ends.

    Args:
        desk: what it changes.
        port: 0 takes any that is free.
        host: where it listens; "0.0.0.0" lets the whole network in, if it knows the token.
        token: what who comes must know; without, a new one.
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
        self._site = _Site(desk, port, host, token, midi, takes)
        self.desk, self.midi, self.takes = desk, midi, takes
        self.port, self.token, self.url = self._site.port, self._site.token, self._site.url
        weakref.finalize(self, self._site.close).atexit = False

    def close(self) -> None:
        """End the server; the sound goes on."""
        self._site.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a console cannot be copied or pickled: it holds a port; make another one on the desk")


class _Site:
    """What serves a console; its threads hold it, and not the console."""

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
        self._pages: set[Page] = set()
        self._host = host
        self._socket = self._listen(host, port)
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
            _bounded(app), log_level="critical", access_log=False, ws="websockets-sansio", ws_max_size=MOST_BYTES,
            ws_max_queue=32, lifespan="on", timeout_graceful_shutdown=1,
            http=_protocol(), h11_max_incomplete_event_size=HEADER_BYTES,
            proxy_headers=False, server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._curves = _Curves(self)
        self._ends: list[Callable[[], None]] = [desk.subscribe(self._changed)]
        self._before, desk.stream.on_event = desk.stream.on_event, self._happened
        self._thread = threading.Thread(target=self._run, name="twinrack-console", daemon=True)
        self._thread.start()
        if not self._ready.wait(10.0):
            raise OSError("the console's server did not start")

    @staticmethod
    def _listen(host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
        except OverflowError:
            found.close()
            raise ValueError(f"port must be an integer from 0 to 65535, got {port}") from None
        except OSError as error:
            found.close()
            why = error.strerror or error
            raise OSError(f"port {port} on {host} cannot be opened: {why}; take another --port, or --host") from None
        found.listen(64)
        return found

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    @contextlib.asynccontextmanager
    async def _life(self, app: object) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
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
        self._server.should_exit = True
        if self._thread is not threading.current_thread():
            self._thread.join(3.0)
        self.desk.stream._levels.leave("console")

    # --- who comes in ------------------------------------------------------------------------------------------------

    def _knows(self, token: str | None) -> bool:
        return token is not None and hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def _has_pass(self, cookies: dict[str, str]) -> bool:
        given = cookies.get(self._cookie, "")
        return hmac.compare_digest(given.encode(errors="replace"), self._pass.encode())

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
            return _answer("The Host header is neither a name nor an address.", 400)
        if not self._is_ours(host):
            return _answer("This is not the address of this console.", 421)
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
            return _file("index.html", host)
        return _answer("The token is missing or wrong; open the address that twinrack printed.", 403)

    def _let_in(self) -> Any:
        """The token leaves the address: a cookie takes its place, which other sites cannot use and scripts cannot read."""
        from starlette.responses import RedirectResponse

        answer = RedirectResponse("/", 303, headers=SAFE)
        answer.set_cookie(self._cookie, self._pass, httponly=True, samesite="lax", path="/")
        return answer

    async def _static(self, request: Any) -> Any:
        host = request.headers.get("host")
        return self._refusal(host) or _file(request.path_params["name"], host)

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
        if len(self._pages) >= MOST_PAGES:
            await socket.close(4429)
            return
        page = Page(self, socket)
        self._pages.add(page)
        writing = asyncio.create_task(page.write())
        try:
            await asyncio.to_thread(self._tell_whole, page)
            await asyncio.to_thread(self._curves.tell_all, page)
            while True:
                await page.hear(await socket.receive())
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._pages.discard(page)
            writing.cancel()

    # --- what is told ------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Levels, 60 times a second while anybody looks."""
        while True:
            crowd = max(1, -(-len(self._pages) // CROWD))
            await asyncio.sleep(FRAME_S * crowd)
            if not self._pages:
                continue
            try:
                frame = self._frames()
            except Exception:
                log.exception("the console's levels failed")
                await asyncio.sleep(0.5)
                continue
            for page in tuple(self._pages):
                page.show(frame)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell all pages; from any thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._tell, message)

    def _tell_whole(self, page: Page | None) -> None:
        """Everything, to one page or to all; in order with the changes, which the desk makes one at a time."""
        for attempt in range(5):
            try:
                with self.desk._lock:
                    message = {**state.whole(self.desk), "midi": state.midi(self.midi)}
                    if self._loop is not None:
                        self._loop.call_soon_threadsafe(self._tell if page is None else page.say, message)
                return
            except (KeyError, ValueError):  # Python code beside the desk is just changing the structure
                time.sleep(0.02 * (attempt + 1))
            except RuntimeError:
                return

    def _tell(self, message: dict[str, Any]) -> None:
        for page in tuple(self._pages):
            page.say(message)

    def _changed(self, change: dict[str, Any]) -> None:
        if "set" in change:
            self.tell({"type": "set", "address": change["set"], "to": change["to"], "source": change["source"]})
            self._curves.ask(change["set"].rpartition(".")[0])
        elif self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._renew)

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
            self._changed({"structure": ""})
        if self._before is not None:
            self._before(event)


class Page:
    """One page that looks: what it is still to be told, and what it asks for."""

    def __init__(self, console: _Site, socket: Any) -> None:
        self._console = console
        self._socket = socket
        self._words: deque[str] = deque()
        self._waiting = 0  # bytes of them
        self._full = False
        self._flow = Flow(MOST_MESSAGES)
        self._frame: bytes | None = None
        self._news = asyncio.Event()
        self._name = f"page {id(self):x}"
        self._own = ""  # the address that it set last

    def say(self, message: dict[str, Any]) -> None:
        if message.get("source") == self._name and message.get("address") == self._own:
            return  # it knows; what follows from it, it does not
        text = json.dumps(message)
        if self._full or self._waiting + len(text) > MOST_WAITING:
            self._full = True  # it does not read: it ends, and is told everything when it comes anew
            self._words.clear()
        else:
            self._words.append(text)
            self._waiting += len(text)
        self._news.set()

    def show(self, frame: bytes) -> None:
        """The newest levels; older ones that were not sent yet are dropped."""
        self._frame = frame
        self._news.set()

    async def write(self) -> None:
        with contextlib.suppress(Exception):
            while not self._full:
                await self._news.wait()
                self._news.clear()
                while self._words:
                    text = self._words.popleft()
                    self._waiting -= len(text)
                    await self._socket.send_text(text)
                frame, self._frame = self._frame, None
                if frame is not None:
                    await self._socket.send_bytes(frame)
            await self._socket.close(1013)

    async def hear(self, received: dict[str, Any]) -> None:
        """One message; what is wrong with it is answered in one sentence."""
        if received["type"] == "websocket.disconnect":
            raise RuntimeError("gone")
        wait = self._flow.wait_s(1.0)
        if wait:
            await asyncio.sleep(wait)
        try:
            message = json.loads(received.get("text") or "")
            if not isinstance(message, dict):
                raise ValueError("a message is an object")
            await asyncio.to_thread(self._do, message)
        except (ValueError, OSError, RuntimeError, TypeError, KeyError, RecursionError) as error:
            self.say({"type": "error", "words": _sentence(error)})
        except Exception:
            log.exception("a message of the console failed")
            self.say({"type": "error", "words": "that did not work; see twinrack's log"})

    def _do(self, message: dict[str, Any]) -> None:
        desk, midi = self._console.desk, self._console.midi
        what = message.get("do")
        with desk.by(self._name) if what == "set" else contextlib.nullcontext():
            if what == "set":
                address = self._own = _text(message, "address")
                try:
                    desk.set(address, message["to"])
                except (ValueError, TypeError):
                    self.say({"type": "set", "address": address, "to": desk.get(address)})
                    raise
            elif what == "add":
                desk.add(_text(message, "effect"), message.get("index"), message.get("line"))
            elif what == "remove":
                desk.remove(_text(message, "address"))
            elif what == "move":
                desk.move(_text(message, "address"), int(message["index"]))
            elif what in ("undo", "redo"):
                getattr(desk, what)()
            elif what == "switch":
                desk.switch()
            elif what == "snapshot":
                desk.snapshot(_text(message, "name"))
            elif what == "recall":
                desk.recall(_text(message, "name"), float(message.get("seconds", 0.0)))
            elif what == "morph":
                desk.morph(_text(message, "a"), _text(message, "b"), float(message["share"]))
            elif what == "load":
                desk.load(_text(message, "name"), message.get("line"))
            elif what == "save":
                desk.save(_text(message, "name"), message.get("line"), replace=message.get("replace") is True)
            elif what == "learn":
                if midi is None:
                    raise ValueError("no MIDI input is open; start with --midi")
                midi.learn(_text(message, "address"))
                said = "move a control of the controller (an encoder without ends: to the right), or hit a key or pad"
                self.say({"type": "event", "at": 0, "kind": "midi", "words": said})
            elif what in ("forget", "mode"):
                if midi is None:
                    raise ValueError("no MIDI input is open; start with --midi")
                address = _text(message, "address")
                if what == "forget":
                    midi.forget(address)
                else:
                    control = int(message["channel"]), int(message["number"])
                    midi.bind(*control, address, _text(message, "mode"), _text(message, "kind"))
            elif what == "protect":
                desk.stream.protect(**{_text(message, "part"): bool(message["on"])})
                self._console._changed({"structure": ""})
            elif what == "record":
                self._record(bool(message["on"]))
            else:
                raise ValueError(f"there is nothing to do that is called {what!r}")

    def _record(self, on: bool) -> None:
        console = self._console
        stream = console.desk.stream
        if not on:
            if stream._recorder is not None:
                stream._recorder.stop()
        else:
            if console.takes is None:
                raise ValueError("no folder for takes was given; start with --takes FOLDER")
            stream.record(console.takes / time.strftime("take-%Y%m%d-%H%M%S"))
        console._changed({"structure": ""})


class _Curves:
    """Measures the curves of effects that were changed, on a thread of its own, and not too often."""

    def __init__(self, console: _Site) -> None:
        self._console = console
        self._wanted: set[str] = set()
        self._known: dict[str, dict[str, Any]] = {}
        self._news, self._end = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="twinrack-curves", daemon=True).start()

    def ask(self, address: str) -> None:
        """An effect was changed, or one of its groups."""
        head, slash, below = address.rpartition("/")
        effect = head + slash + below.partition(".")[0]
        if effect.rpartition("/")[2]:
            self._wanted.add(effect)
            self._news.set()

    def tell_all(self, page: Page | None) -> None:
        """What is known, to a new page; or everything measured anew, for all."""
        for effect in state.effect_addresses(self._console.desk):
            if page is not None and effect in self._known:
                message = {"type": "curve", "effect": effect, **self._known[effect]}
                loop = self._console._loop
                if loop is not None:
                    loop.call_soon_threadsafe(page.say, message)
            else:
                self.ask(effect + ".")

    def _run(self) -> None:
        while not self._end.is_set():
            self._news.wait()
            self._news.clear()
            desk = self._console.desk
            while self._wanted and not self._end.is_set():
                effect = self._wanted.pop()
                try:
                    head, slash, below = effect.rpartition("/")
                    _, line = desk._line(head if slash else None)
                    found = state.curve(line.rack[below].copy(), desk.stream.sample_rate)
                except (ValueError, KeyError, RuntimeError):
                    continue  # it is gone by now
                self._known[effect] = found
                self._console.tell({"type": "curve", "effect": effect, **found})
            self._end.wait(CURVE_S)

    def close(self) -> None:
        self._end.set()
        self._news.set()


def _text(message: dict[str, Any], name: str) -> str:
    value = check_text(message.get(name), name)
    if len(value) > 200:
        raise ValueError(f"{name} has {len(value)} characters; up to 200 are possible")
    return value


def _sentence(error: BaseException) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)[:300]


def _bounded(app: Any) -> Any:
    """Refuses requests with longer headers: those that come in one piece, uvicorn takes."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        parts = [
            scope.get("raw_path", b""),
            scope.get("query_string", b""),
            *(x for row in scope.get("headers", ()) for x in row),
        ]
        if sum(map(len, parts)) <= HEADER_BYTES:
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await _answer("The request's headers are too long.", 431)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1009})

    return call


def _protocol() -> Any:
    """Uvicorn's HTTP on h11, with an end to the patience for connections that are no page's own."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._end = self.loop.call_later(PATIENCE_S, self._give_up)
            if len(self.connections) > MOST_CONNECTIONS:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            if self.transport.get_protocol() is self:
                self.transport.abort()

    return Patient


def _answer(words: str, status: int) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(words, status, headers=SAFE)


def _file(name: str, host: str) -> Any:
    """One of the page's own files; no other name leads anywhere."""
    from starlette.responses import Response

    folder = files(__package__) / "static"
    kind = KINDS.get(Path(name).suffix)
    there = {entry.name for entry in folder.iterdir()}
    if kind is None or name not in there:
        return _answer("There is no such page.", 404)
    headers = {**SAFE, "Content-Security-Policy": PAGE_RULES.format(host=host)}
    return Response((folder / name).read_bytes(), media_type=kind, headers=headers)
