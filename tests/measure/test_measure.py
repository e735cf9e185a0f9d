"""Mix reports: figures agree with what is known of the sound, and the page works in a real browser."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import twinrack as tr
from session_support import RATE, random_session
from support import music
from twinrack.measure.loudness import loudness

SECONDS = 4.0


def tone(hertz: float, level: float) -> np.ndarray:
    t = np.arange(int(SECONDS * RATE)) / RATE
    return np.tile(level * np.sin(2 * np.pi * hertz * t), (2, 1)).astype(np.float32)


def noise(level: float) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal((2, int(SECONDS * RATE)))).astype(np.float32)


def test_figures_of_channels():
    session = tr.Session("figures", RATE)
    x = 0.2 * music(2, int(SECONDS * RATE), RATE, 1)
    session.add_track("music", clips=[tr.Clip(x)], rack=[tr.Compressor(threshold_db=-50, ratio=4)])
    session.add_track("mono", clips=[tr.Clip(tone(440, 0.1))])
    session.add_track("opposed", clips=[tr.Clip(tone(440, 0.1))], polarity="invert_left")
    session.add_track("loud", clips=[tr.Clip(tone(100, 1.5))], output=None)
    report = session.report()
    assert report.channels["mono"].correlation == pytest.approx(1)
    assert report.channels["opposed"].correlation == pytest.approx(-1)
    assert report.channels["mono"].side_db < -80
    assert report.channels["opposed"].side_db > 80
    assert report.channels["mono"].rms_db == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.01)
    assert report.channels["mono"].crest_db == pytest.approx(3.01, abs=0.01)
    assert report.channels["loud"].clipped > 0.4 * 2 * SECONDS * RATE
    assert report.channels["loud"].headroom_db == pytest.approx(-20 * np.log10(1.5), abs=0.1)
    assert report.channels["music"].gain_reduction_db["compressor"] > 3
    for name in ("music", "master"):
        wanted = loudness(session.render(channel=name), RATE)
        assert report.channels[name].loudness.integrated == pytest.approx(wanted.integrated, abs=1e-6)
    loudest = report.centres_hz[int(np.argmax(report.channels["mono"].band_db))]
    assert 300 < loudest < 600
    assert "  mono" in str(report)
    part = session.report(start=1.0, end=2.0)
    assert part.seconds == 1.0


def test_who_hides_whom():
    session = tr.Session("masking", RATE)
    session.add_track("noise", clips=[tr.Clip(noise(0.2))])
    session.add_track("soft", clips=[tr.Clip(tone(2000, 0.003))])
    session.add_track("clear", clips=[tr.Clip(tone(1000, 0.5))])
    report = session.report()
    names = report.tracks
    at = {n: i for i, n in enumerate(names)}
    band = int(np.argmin(np.abs(report.centres_hz - 2000)))
    assert report.hidden[at["noise"], at["soft"], band] > 0.95
    assert report.hidden[at["soft"], at["noise"]].max() < 0.05
    assert report.hidden[at["noise"], at["clear"], int(np.argmin(np.abs(report.centres_hz - 1000)))] < 0.05
    assert ("noise", "soft") in [(a, b) for a, b, _, _ in report.masking()]


def test_figures_do_not_depend_on_threads_and_any_session_has_them():
    for seed in range(6):
        session = random_session(seed)
        a, b = session.report(threads=1), session.report(threads=3)
        assert list(a.channels) == [c.name for c in session]
        assert np.array_equal(a.hidden, b.hidden)
        for name, c in a.channels.items():
            assert np.array_equal(c.band_db, b.channels[name].band_db)
            assert np.array_equal(c.loudness.powers, b.channels[name].loudness.powers)
        assert str(a)


def test_the_page_in_a_browser(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    session = tr.Session("<b>A & B</b>", RATE)
    session.add_track("noise", clips=[tr.Clip(noise(0.2))])
    session.add_track("Gesang & Chor", clips=[tr.Clip(tone(2000, 0.003))])
    session.report(tmp_path / "mix.html")
    with sync_playwright() as p:
        page = p.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        errors: list[str] = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto((tmp_path / "mix.html").as_uri())
        page.wait_for_selector("#pairs .main-svg")
        assert errors == []
        assert page.inner_text("h1") == "<b>A & B</b>"
        assert "Gesang & Chor" in page.inner_text("table")
        assert page.locator(".main-svg").count() >= 5
