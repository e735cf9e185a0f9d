"""The console's page in a real browser: its controls move the sound, its meters show it; and who may not come in does not."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack

pytest.importorskip("starlette", reason="the console's packages are not installed (pip install '.[live]')")
connect = pytest.importorskip("websockets.sync.client").connect

from websockets.exceptions import WebSocketException  # noqa: E402

from twinrack.stage.console import page as page_module  # noqa: E402
from twinrack.stage.console import web  # noqa: E402
from twinrack.stage.console.server import Console  # noqa: E402
from twinrack.stage.console.state import Frames  # noqa: E402
from twinrack.stage.desk import Desk  # noqa: E402
from twinrack.stage.midi import Midi  # noqa: E402

pytestmark = needs_jack
PICTURES = os.environ.get("TWINRACK_PICTURES")  # a folder: pictures of the page for the docs


@pytest.fixture(scope="module")
def server():
    with jack_server() as running:
        yield running.name


@pytest.fixture
def stream(server):
    rack = tr.Rack(
        [
            tr.ParametricEQ(
                bands=[tr.Band("low_shelf", frequency_hz=120, gain_db=4), tr.Band("bell", frequency_hz=3000, gain_db=-5)]
            ),
            tr.Compressor(threshold_db=-30, ratio=4),
            tr.Gain(),
        ],
        name="voice",
    )
    with tr.live(rack, block_size=BLOCK) as running:
        yield running


@pytest.fixture
def console(stream, tmp_path):
    desk = Desk(stream, tmp_path)
    found = Console(desk, port=0, takes=tmp_path / "takes", midi=Midi(desk))
    yield found
    found.close()
    desk.close()


@pytest.fixture(scope="module")
def browser():
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no Chromium here (Debian: chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, console):
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    found.goto(console.url)
    found.wait_for_selector(".effect")
    yield found
    found.close()
    assert not wrong


def until(condition, seconds: float = 20.0, page=None) -> None:
    """Wait; a page must be let work meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        page.wait_for_timeout(20) if page is not None else time.sleep(0.02)


def url(console: Console, path: str = "") -> str:
    return f"http://127.0.0.1:{console.port}{path}"


def get(address: str, **headers: str) -> tuple[int, str]:
    try:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(urllib.request.Request(address, headers=headers), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def talk(console: Console, token: str | None = None, origin: str | None = None):
    return connect(
        f"ws://127.0.0.1:{console.port}/live?token={console.token if token is None else token}",
        origin=url(console) if origin is None else origin,
        max_size=None,
    )


def words(socket, kind: str, seconds: float = 20.0) -> dict:
    """The next message of a kind; levels in between are left out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = socket.recv(timeout=end - time.monotonic())
        if isinstance(got, str) and json.loads(got)["type"] == kind:
            return json.loads(got)
    raise AssertionError(f"no {kind}")


# --- who comes in ---------------------------------------------------------------------------------------------------------


def test_only_who_knows_the_token_comes_in(console):
    assert get(console.url)[0] == 200
    for wrong in (url(console), url(console, "/?token="), url(console, "/?token=wrong")):
        status, said = get(wrong)
        assert status == 403
        assert "open the address that twinrack printed" in said
    assert get(console.url, Host="evil.example")[0] == 421
    for path in ("/static/../server.py", "/static/server.py", "/static/%2e%2e%2fserver.py", "/etc/passwd", "/static/style.txt"):
        assert get(url(console, path))[0] == 404
    for token, origin in (("wrong", None), ("", None), (None, "http://evil.example"), (None, "null"), (None, "")):
        with pytest.raises((WebSocketException, OSError, EOFError)), talk(console, token, origin) as socket:
            socket.recv(timeout=3)


def raw(console: Console, *lines: str, wait: float = 5.0) -> bytes:
    """What is answered to lines of HTTP, until the connection ends."""
    with socket.create_connection(("127.0.0.1", console.port), timeout=wait) as found:
        found.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while part := found.recv(65536):
                answer += part
                head, _, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                if length and len(body) >= int(length[1]):
                    break
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


HOSTS = [
    "[", "]", "[]", "[::1", "a]b", "[::1]x", "127.0.0.1:x", "127.0.0.1:999999", "a b", "http://127.0.0.1", "a/b", "a@127.0.0.1",
    "\xff", "x" * 300, "%00", "127.0.0.1, evil.example", "?", "#", "<script>",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/static/style.css"])
def test_a_host_that_is_none_is_a_bad_request(console, path):
    for host in HOSTS:
        assert status(raw(console, f"GET {path} HTTP/1.1", f"Host: {host}", "", "")) == 400, host
    for head in (["GET / HTTP/1.0"], ["GET / HTTP/1.1"], ["GET / HTTP/1.1", "Host: a", "Host: b"]):
        assert status(raw(console, *head, "", "")) == 400
    for host in ("evil.example", "127.0.0.1.evil.example", "169.254.169.254", "localhost.evil", f"evil:{console.port}"):
        assert status(raw(console, f"GET {path} HTTP/1.1", f"Host: {host}", "", "")) == 421
    expected = 403 if path == "/" else 200
    for host in ("localhost", f"LOCALHOST:{console.port}", "127.0.0.1", f"[::1]:{console.port}", "[::1]", "127.1.2.3:80"):
        assert status(raw(console, f"GET {path} HTTP/1.1", f"Host: {host}", "", "")) == expected


def test_a_socket_of_another_host_or_origin_is_refused(console):
    key = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "=="]
    here = f"127.0.0.1:{console.port}"
    right = f"GET /live?token={console.token} HTTP/1.1"
    assert status(raw(console, right, f"Host: {here}", f"Origin: http://{here}", *key, "", "", wait=1.0)) == 101
    for host in HOSTS:
        assert status(raw(console, right, f"Host: {host}", f"Origin: http://{host}", *key, "", "")) in (400, 403), host
    for origin in (
        "http://[",
        "null",
        "http://evil.example",
        f"http://{here}.evil",
        f"http://{here}/",
        f"http://a@{here}",
        "http://",
    ):
        assert status(raw(console, right, f"Host: {here}", f"Origin: {origin}", *key, "", "")) == 403, origin
    assert status(raw(console, right, f"Host: {here}", *key, "", "")) == 403


def test_the_token_leaves_the_address(console):
    """A cookie takes its place: no script reads it, no other site sends it, another console knows it not."""
    here = f"Host: 127.0.0.1:{console.port}"
    answer = raw(console, f"GET /?token={console.token} HTTP/1.1", here, "", "").decode()
    head = {k.lower(): v for k, v in (line.split(": ", 1) for line in answer.split("\r\n\r\n")[0].split("\r\n")[1:])}
    assert status(answer.encode()) == 303
    assert head["location"] == "/"
    cookie, *rules = head["set-cookie"].split("; ")
    assert {"httponly", "samesite=lax", "path=/"} <= {rule.lower() for rule in rules}
    assert console.token not in answer
    assert (head["referrer-policy"], head["cache-control"]) == ("no-referrer", "no-store")
    page = raw(console, "GET / HTTP/1.1", here, f"Cookie: {cookie}", "", "").decode()
    assert status(page.encode()) == 200
    policy = re.search(r"content-security-policy: (.*)\r\n", page)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == f"'self' ws://127.0.0.1:{console.port} wss://127.0.0.1:{console.port}"
    name = cookie.split("=")[0]
    for wrong in (
        "",
        f"{name}=",
        f"{name}={console.token}",
        f"{name}=x",
        cookie[:-1],
        f"{name}=\xff",
        f"other={cookie.split('=')[1]}",
    ):
        assert status(raw(console, "GET / HTTP/1.1", here, f"Cookie: {wrong}", "", "")) == 403
    with connect(
        f"ws://127.0.0.1:{console.port}/live", origin=url(console), additional_headers={"Cookie": cookie}, max_size=None
    ) as found:
        words(found, "state")
    other = Console(console.desk, port=0)
    try:
        assert status(raw(other, "GET / HTTP/1.1", f"Host: 127.0.0.1:{other.port}", f"Cookie: {cookie}", "", "")) == 403
    finally:
        other.close()


def test_connections_that_do_nothing_end(console, monkeypatch):
    """Silent ones, slow headers, bodies without end, readers that do not read: each ends in time, and the page is served."""
    monkeypatch.setattr(web, "PATIENCE_S", 1.0)
    here = f"Host: 127.0.0.1:{console.port}\r\n"
    begins = [
        b"", b"G", b"GET / HTTP/1.1\r\n", f"GET / HTTP/1.1\r\n{here}".encode(),
        f"POST / HTTP/1.1\r\n{here}Content-Length: 99999999999\r\n\r\n".encode(),
        f"POST / HTTP/1.1\r\n{here}Transfer-Encoding: chunked\r\n\r\n".encode(),
        f"GET /static/console.js HTTP/1.1\r\n{here}\r\n".encode(),
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", console.port))) for _ in begins for _ in range(8)]
        for i, one in enumerate(found):
            one.sendall(begins[i % len(begins)])
        for _ in range(12):
            time.sleep(0.1)
            for one in found[2::7]:
                with contextlib.suppress(OSError):
                    one.sendall(b"x: y\r\n")  # a header now and then
        until(lambda: not console.site.server.server_state.connections)
        assert get(console.url)[0] == 200
    many = [socket.create_connection(("127.0.0.1", console.port)) for _ in range(web.MOST_CONNECTIONS + 50)]
    until(lambda: len(console.site.server.server_state.connections) <= web.MOST_CONNECTIONS)
    time.sleep(1.2)
    assert get(console.url)[0] == 200
    for one in many:
        one.close()


def test_headers_and_bodies_have_a_bound(console):
    here = f"Host: 127.0.0.1:{console.port}"
    for head in ("GET /" + "a" * 100_000 + " HTTP/1.1", "GET / HTTP/1.1\r\nx: " + "a" * 100_000):
        assert status(raw(console, head, here, "", "")) in (0, 400, 431)
    assert status(raw(console, "GET / HTTP/1.1", here, *[f"x{i}: {'y' * 50}" for i in range(2000)], "", "")) in (0, 400, 431)
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        assert status(raw(console, f"{method} / HTTP/1.1", here, "Content-Length: 5", "", "hello")) == 405
    for junk in ("\x16\x03\x01\x02\x00\x01", "GET", "\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "A" * 70_000):
        assert status(raw(console, junk, wait=1.0)) in (0, 400, 404)
    assert get(console.url)[0] == 200


def test_a_page_that_floods_or_does_not_read_hurts_nobody(console, stream, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_MESSAGES", 50)
    monkeypatch.setattr(page_module, "MOST_WAITING", 200_000)
    with talk(console) as flood, talk(console) as other:
        words(flood, "state"), words(other, "state")
        began = time.monotonic()
        for i in range(150):
            flood.send(f'{{"do":"set","address":"gain.gain_db","to":{-i / 10}}}')
        while stream.rack["gain"].gain_db != -14.9:  # nothing is lost, it only waits
            assert time.monotonic() - began < 20.0
            time.sleep(0.01)
        assert time.monotonic() - began > 1.0
        while words(other, "set")["to"] != -14.9:
            pass
    until(lambda: not console.site.pages)
    with talk(console) as deaf:
        words(deaf, "state")
        (page,) = console.site.pages
        console.site.loop.call_soon_threadsafe(lambda: [page.say({"type": "event", "words": "x" * 1000}) for _ in range(5000)])
        until(lambda: not console.site.pages)


def test_a_console_that_nobody_holds_ends(stream):
    desk = Desk(stream)
    before = len(desk.listeners)
    for _ in range(3):  # a cell of a notebook that is run again
        found = Console(desk, port=0)
        port = found.port
        del found
        gc.collect()
        assert len(desk.listeners) == before
        assert stream.on_event is None
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith(("twinrack-console", "twinrack-curves"))])
    first, second = Console(desk, port=0), Console(desk, port=0)
    first.close()
    with talk(second) as found:  # still told of events, though the first one is gone
        words(found, "state")
        stream.tell("midi", "hello")
        assert words(found, "event")["words"] == "hello"
    second.close()
    desk.close()


def test_what_midi_learned_is_listed_and_changed(console):
    with talk(console) as found:
        assert words(found, "state")["midi"] == []
        found.send('{"do":"learn","address":"gain.bypass"}')
        words(found, "event")
        console.midi.moved("note", 9, 36, 100, 127)
        listed = words(found, "state")["midi"]
        while not listed:
            listed = words(found, "state")["midi"]
        assert (listed[0]["words"], listed[0]["address"], listed[0]["mode"]) == ("note 36, channel 10", "gain.bypass", "toggle")
        found.send(json.dumps({**listed[0], "do": "mode", "mode": "momentary"}))
        while words(found, "state")["midi"][0]["mode"] != "momentary":
            pass
        found.send(json.dumps({**listed[0], "do": "mode", "mode": "velocity", "address": "gain.nothing"}))
        words(found, "error")
        found.send('{"do":"forget","address":"gain.bypass"}')
        while words(found, "state")["midi"]:
            pass


def test_garbage_is_answered_in_one_sentence(console, stream):
    rng = np.random.default_rng(1)
    with talk(console) as socket:
        words(socket, "state")
        for message in (
            "", "nonsense", "[]", "{}", "null", "1e999", '{"do":"explode"}',
            '{"do":"set"}', '{"do":"set","address":"gain.gain_db"}',
            '{"do":"set","address":"gain.gain_db","to":"loud"}', '{"do":"set","address":"gain.gain_db","to":1e9}',
            '{"do":"set","address":"gain.gain_db","to":NaN}', '{"do":"set","address":{"a":1},"to":1}',
            '{"do":"load","name":"../../etc/passwd"}', '{"do":"save","name":"a/b"}', '{"do":"load","name":"none"}',
            '{"do":"protect","part":"__class__","on":1}', '{"do":"move","address":"gain","index":"x"}',
            '{"do":"recall","name":"none"}', '{"do":"add","effect":"__import__"}', "[" * 5000,
            '{"do":"set","address":"' + "a" * 300 + '","to":1}', '{"do":"learn","address":"nobody.there"}',
        ):  # fmt: skip
            socket.send(message)
            assert len(words(socket, "error")["words"]) > 5
        for _ in range(30):
            socket.send(rng.bytes(int(rng.integers(1, 200))))
            words(socket, "error")
        socket.send("x" * 200_000)
        with pytest.raises(WebSocketException):
            words(socket, "error")
    assert stream.active
    assert stream.rack["gain"].gain_db == 0.0
    with talk(console) as socket:
        words(socket, "state")


def test_twenty_pages(console, stream):
    with contextlib.ExitStack() as pages:
        sockets = [pages.enter_context(talk(console)) for _ in range(20)]
        for socket in sockets:
            words(socket, "state")
        sockets[0].send('{"do":"set","address":"gain.gain_db","to":-7}')
        for socket in sockets[1:]:
            while words(socket, "set")["address"] != "gain.gain_db":
                pass
        assert stream.rack["gain"].gain_db == -7.0
        before, late = stream.frames, stream.late_callbacks
        time.sleep(1.0)
        print(f"20 pages: {(stream.frames - before) // BLOCK} callbacks, {stream.late_callbacks - late} too long")
        assert stream.active


# --- the page -------------------------------------------------------------------------------------------------------------


def test_a_control_moves_the_sound_and_the_meters_show_it(server, page, stream):
    slider = page.get_by_role("slider", name="gain in dB").last
    slider.focus()
    for _ in range(100):
        page.keyboard.press("ArrowLeft")
    until(lambda: stream.rack["gain"].gain_db < -10, page=page)
    page.get_by_role("article", name="Gain gain").get_by_role("spinbutton", name="gain, as a number").fill("-20")
    page.keyboard.press("Enter")
    until(lambda: stream.rack["gain"].gain_db == -20.0, page=page)
    for name in ("parametric_eq", "compressor"):
        page.locator(f"article[aria-label$=' {name}']").get_by_role("button", name="Bypass").click()
    until(lambda: stream.rack["compressor"].bypass and stream.rack["parametric_eq"].bypass, page=page)
    probe = Probe(server, 2, RATE // 2)
    try:
        heard = probe.play(np.full((2, RATE), 0.5, np.float32))
        assert heard[0, -1] == pytest.approx(0.05, rel=1e-4)
        probe.begin(0.5 * np.sin(np.arange(40 * RATE) * 0.05)[None].repeat(2, 0).astype(np.float32))
        article = page.get_by_role("article", name="Gain gain")
        level = article.get_by_role("meter", name="gain, level out")
        until(lambda: -27.5 < float(level.get_attribute("aria-valuenow")) < -25.5, page=page)
        into = article.get_by_role("meter", name="gain, level in")
        assert -7.5 < float(into.get_attribute("aria-valuenow")) < -5.5
        page.get_by_role("article", name="Compressor compressor").get_by_role("button", name="Bypass").click()
        less = page.get_by_role("meter", name="compressor, gain reduction")
        until(lambda: float(less.get_attribute("aria-valuenow")) < -10, page=page)
    finally:
        probe.close()


def test_bands_are_moved_in_the_curve(page, stream):
    """Dragged, by keys, added and taken away; summaries and what acts follow."""
    eq = stream.rack["parametric_eq"]
    until(lambda: page.locator(".grip:not([hidden])").count() == 2, page=page)
    grip = page.get_by_role("button", name="Band 2 of parametric_eq")
    box = grip.bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] - 60, at[1] - 40, steps=4)
    page.mouse.up()
    until(lambda: eq.bands[1].frequency_hz < 2000 and eq.bands[1].gain_db > -4.0, page=page)
    assert eq.bands[1].frequency_hz > 300
    before = eq.bands[1].frequency_hz, eq.bands[1].gain_db, eq.bands[1].q
    for key in ("ArrowRight", "ArrowUp", "PageUp"):
        page.keyboard.press(key)
    until(lambda: eq.bands[1].q > before[2], page=page)
    assert eq.bands[1].frequency_hz == pytest.approx(before[0] * 2 ** (1 / 12), rel=1e-3)
    assert eq.bands[1].gain_db == pytest.approx(before[1] + 0.5, abs=0.01)
    assert page.get_by_text("Band 2: bell").count() == 1
    page.locator("article[aria-label$=' parametric_eq'] canvas").dblclick(position={"x": 200, "y": 60})
    until(lambda: eq.bands[2].type == "bell" and eq.bands[2].gain_db > 0, page=page)
    band = page.locator("details[data-group='parametric_eq.band3'] > summary")
    band.wait_for()  # beside those that are on, not among those that are off
    assert page.get_by_text("13 bands that are off").count() == 1
    page.get_by_role("button", name="Band 3 of parametric_eq").dblclick()
    until(lambda: eq.bands[2].type == "off", page=page)
    page.get_by_text("14 bands that are off").wait_for()
    # Dragged beyond the axis, the value stays where the pointer is.
    grip = page.get_by_role("button", name="Band 1 of parametric_eq")
    box = grip.bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    for n in range(30):
        page.mouse.move(box["x"] + 8, box["y"] + 8 - 3 * n)
        page.wait_for_timeout(30)  # the curve is measured meanwhile
    page.mouse.up()
    page.wait_for_timeout(300)
    assert 12 < eq.bands[0].gain_db < 19  # 87 pixels of 0.13 dB
    gain = page.locator("[data-address='parametric_eq.band1.gain_db']")
    page.get_by_text("Band 1: low shelf").click()
    assert gain.is_visible()
    eq.bands[0].type = "low_cut"
    page.get_by_text("Band 1: low cut").wait_for()
    assert not gain.is_visible()
    assert page.locator("[data-address='parametric_eq.band1.slope_db_per_octave']").is_visible()


def test_meters_help_and_what_is_folded(server, page, console, stream):
    for name in ("parametric_eq", "compressor"):
        stream.rack[name].bypass = True
    probe = Probe(server, 2, RATE // 2)
    try:
        probe.begin(0.1 * np.sin(np.arange(60 * RATE) * 2 * np.pi * 997 / RATE)[None].repeat(2, 0).astype(np.float32))

        def loudness() -> float:
            text = page.inner_text("#loudness").replace("−", "-")
            return float(text.split()[0]) if "LUFS" in text else -120.0

        until(lambda: loudness() == pytest.approx(-20.0, abs=0.2), page=page)  # 997 Hz at -20 dBFS in both channels
        until(lambda: page.locator("#outputs output").first.inner_text() == "−20.0", page=page)
        assert page.locator("#outputs .clip").count() == 0
    finally:
        probe.close()
    # Help does not move what is pressed: a click on a button below finds it.
    page.get_by_role("button", name="Learn a MIDI control for ratio").click()
    until(lambda: console.midi.learning == "compressor.ratio", page=page)
    # A protection that is pressed keeps the focus, though the page is built anew.
    page.get_by_role("button", name="Mute on fault").click()
    until(lambda: not stream.safety.mute_on_fault, page=page)
    until(lambda: page.evaluate("document.activeElement.textContent") == "Mute on fault", page=page)
    article = page.get_by_role("article", name="Compressor compressor")
    assert article.get_by_role("slider", name="threshold in dB").is_visible()
    hidden = article.get_by_role("slider", name="lookahead in ms")
    assert not hidden.is_visible()
    article.get_by_text("More", exact=True).click()
    assert hidden.is_visible()
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.locator(".effect:visible").count() == 1
    page.locator("#jump").get_by_role("button", name="Gain").click()
    assert page.get_by_role("article", name="Gain gain").is_visible()
    assert not article.is_visible()


def test_counts_begin_anew(stream, tmp_path, monkeypatch):
    desk = Desk(stream, tmp_path)
    frames = Frames(desk)
    counts, now = [10, 0, 0, 1], {"worst": 0.2, "xruns": 3}
    monkeypatch.setattr(type(stream), "load", property(lambda self: {"counts": list(counts), "worst": now["worst"]}))
    monkeypatch.setattr(type(stream), "xruns", property(lambda self: now["xruns"]))
    try:
        assert frames._worst_and_xruns() == (0.2, 3)
        frames.reset()
        counts[0] += 5
        assert frames._worst_and_xruns() == (0.05, 0)  # twentieths
        counts[1] += 1
        now["xruns"] = 4
        assert frames._worst_and_xruns() == (0.1, 1)
        now["worst"] = 0.7
        assert frames._worst_and_xruns() == (0.7, 1)
        counts[:] = [1, 0, 0, 0]  # another device counts from 0
        assert frames._worst_and_xruns() == (0.7, 4)
        # Loudness: of the last 3 s, and not of a pause in which nobody looked.
        energy = 10 ** (-19.309 / 10) * RATE
        assert frames._short_term(0.0, 0) == -120.0
        assert frames._short_term(energy, RATE) == pytest.approx(-20.0, abs=0.01)
        assert frames._short_term(2 * energy, 600 * RATE) == -120.0
        assert frames._short_term(2 * energy + energy / 2, 600 * RATE + RATE // 2) == pytest.approx(-20.0, abs=0.01)
    finally:
        monkeypatch.undo()
        desk.close()


def test_other_makers_plugins_are_on_the_page(server, browser, tmp_path):
    uri = "http://drobilla.net/plugins/mda/Dynamics"
    try:
        plugin = tr.Plugin(uri)
    except (ValueError, RuntimeError, ImportError) as error:
        pytest.skip(f"no LV2 plugin to play: {error}")
    with tr.live(tr.Rack([plugin, tr.Gain()]), block_size=BLOCK) as stream:
        desk = Desk(stream, tmp_path)
        console = Console(desk, port=0)
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        try:
            page.goto(console.url)
            page.get_by_role("article", name="Gain gain").wait_for()
            assert page.locator("article").count() == 2
            assert page.locator("#effects option", has_text=plugin.card.name).count() == 0  # it cannot be added by name alone
            assert wrong == []
        finally:
            page.close()
            console.close()
            desk.close()


def test_dry_rack_and_target_are_switched(server, browser, tmp_path):
    x = np.full((2, RATE), 0.1, np.float32)
    with tr.live(tr.Rack([tr.Gain(gain_db=-6)]), block_size=BLOCK, play=(x, 0.5 * x)) as stream:
        desk = Desk(stream, tmp_path)
        console = Console(desk, port=0)
        page = browser.new_page()
        try:
            page.goto(console.url)
            page.get_by_role("button", name="Target").click()
            until(lambda: stream.listen == "target", page=page)
            page.locator("#listen [aria-pressed=true]", has_text="Target").wait_for()
            page.get_by_role("button", name="Dry").click()
            until(lambda: stream.listen == "dry", page=page)
            assert page.locator("button.midi:visible").count() == 0  # no MIDI input is open
        finally:
            page.close()
            console.close()
            desk.close()


def test_what_others_do_is_seen(page, console, stream):
    """Python moves it: the page follows; structure, A and B, undo, snapshots, presets."""
    stream.rack["gain"].gain_db = -33.0
    number = page.get_by_role("article", name="Gain gain").get_by_role("spinbutton", name="gain, as a number")
    until(lambda: number.input_value() == "-33", page=page)
    page.locator("#effects").select_option("saturation")
    page.get_by_role("button", name="Add").click()
    page.wait_for_selector("article[aria-label='Saturation saturation']")
    assert list(stream.rack.addresses())[-1] == "saturation"
    page.get_by_role("button", name="Earlier: saturation").click()
    until(lambda: list(stream.rack.addresses())[-1] == "gain", page=page)
    page.get_by_role("button", name="Remove saturation").click()
    until(lambda: "saturation" not in stream.rack.addresses(), page=page)
    page.get_by_role("button", name="Undo").click()
    until(lambda: "saturation" in stream.rack.addresses(), page=page)
    page.keyboard.press("Control+Shift+Z")
    until(lambda: "saturation" not in stream.rack.addresses(), page=page)
    page.get_by_role("button", name="Hear B").click()
    until(lambda: page.get_by_role("button", name="Hear A").count() == 1, page=page)
    for button, what in (("Store…", "snapshot"), ("Save…", "preset")):
        page.get_by_role("button", name=button).click()
        page.get_by_label(f"Name of the {what}").fill("first")
        page.get_by_role("button", name="OK", exact=True).click()
        until(lambda what=what: page.locator(f"#{what}s option[value=first]").count() == 1, page=page)
    stream.rack["gain"].gain_db = -1.0
    page.get_by_role("button", name="Load").click()
    until(lambda: stream.rack["gain"].gain_db == -33.0, page=page)
    assert "token" not in page.url
    page.reload()  # by the cookie
    page.wait_for_selector(".effect")
    page.get_by_role("button", name="Learn a MIDI control for gain, on or off").click()
    until(lambda: console.midi.learning == "gain.bypass", page=page)
    console.midi.moved("note", 9, 36, 100, 127)
    page.get_by_text("MIDI controls").click()
    page.get_by_label("How note 36, channel 10 is read").select_option("momentary")
    until(lambda: console.midi.controls["note", 9, 36].mode == "momentary", page=page)
    page.get_by_role("button", name="Forget note 36, channel 10").click()
    until(lambda: not console.midi.controls, page=page)
    page.get_by_role("button", name="Record").click()
    until(lambda: stream.recording is not None, page=page)
    page.wait_for_selector("#record[aria-pressed=true]")
    page.get_by_role("button", name="Record").click()
    until(lambda: stream.recording is None, page=page)


def test_by_keyboard_and_for_screen_readers(page):
    """Everything that can be changed is reached by the tab key and has a name."""
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=meter], canvas")].filter((e) => !(
            e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("(({tagName, ariaLabel, id}) => `${tagName} ${ariaLabel ?? id}`)(document.activeElement)"))
    assert len(seen) > 35
    slider = page.get_by_role("slider").first
    assert page.evaluate("(e) => e.getAttribute('aria-valuetext')", slider.element_handle())


def test_sixty_a_second_and_little_work(page, stream):
    frames = page.evaluate(
        """() => new Promise((done) => { let n = 0; const begin = performance.now();
            const step = () => { ++n; performance.now() - begin < 2000 ? requestAnimationFrame(step) : done(n / 2); };
            requestAnimationFrame(step); })"""
    )
    print(f"the page draws {frames:.0f} times a second")
    assert frames > 5
    assert stream.active


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desk-light", 1280, "light"), ("desk-dark", 1280, "dark"), ("phone", 390, "dark")]
)
def test_it_fits_a_desk_and_a_phone_in_light_and_dark(server, browser, console, stream, name, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    probe = Probe(server, 2, RATE)
    try:
        rng = np.random.default_rng(2)
        noise = np.cumsum(rng.standard_normal((2, 20 * RATE)), 1)
        noise = (noise - np.mean(noise, 1, keepdims=True)) / np.max(np.abs(noise))
        probe.begin((0.4 * np.diff(noise, axis=1, prepend=0) * 40 + 0.1 * noise).astype(np.float32))
        page.goto(console.url)
        page.wait_for_selector(".effect")
        page.wait_for_timeout(1500)
        wide = page.evaluate(
            """() => [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
                .map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert wide == []  # nothing sticks out to the side
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(v) for v in ground.removeprefix("rgb(").rstrip(")").split(",")[:3])
        assert (brightness > 600) == (scheme == "light")
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"console-{name}.png")
    finally:
        probe.close()
        context.close()


def test_the_command_serves_it(server, tmp_path):
    """`twinrack live --console --osc --midi virtual`, as somebody types it."""
    rack = tr.Rack([tr.Gain()], name="typed")
    rack.save(tmp_path / "typed.rack.json")
    command = [sys.executable, "-m", "twinrack", "live", "--rack", str(tmp_path / "typed.rack.json"), "--block", "64"]
    process = subprocess.Popen(
        [*command, "--console", "--port", "0", "--osc", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests run in the background
    )  # fmt: skip
    said = []
    try:
        assert process.stdout is not None
        while not any("Ctrl-C" in line for line in said):
            said.append(process.stdout.readline())
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        address = next(line.split()[1] for line in said if line.startswith("console:"))
        assert get(address)[0] == 200
        assert any(line.startswith("OSC: port") for line in said)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err
