"""A page of the console that is open: its queue of messages, bounded, and its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from typing import Any

from ..rate_limit import RateLimit
from .commands import Commands, text_of

log = logging.getLogger("twinrack.live")
MOST_MESSAGES = 500  # a second, of one page; more wait
MOST_WAITING = 8 << 20  # bytes of text for a page that does not read; then it must connect anew


class Page:
    """One page that is open: what waits to be sent to it, and what it asks for."""

    def __init__(self, commands: Commands, socket: Any) -> None:
        self._commands = commands
        self._socket = socket
        self._words: deque[str] = deque()
        self._waiting = 0  # bytes of them
        self._full = False
        self._limit = RateLimit(MOST_MESSAGES)
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
        wait = self._limit.wait_s(1.0)
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
        if message.get("do") == "set":
            self._set(text_of(message, "address"), message["to"])
            return
        reply = self._commands.do(message)
        if reply is not None:
            self.say(reply)

    def _set(self, address: str, value: object) -> None:
        desk = self._commands.desk
        with desk.by(self._name):
            self._own = address
            try:
                desk.set(address, value)
            except (ValueError, TypeError):
                self.say({"type": "set", "address": address, "to": desk.get(address)})
                raise


def _sentence(error: BaseException) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)[:300]
