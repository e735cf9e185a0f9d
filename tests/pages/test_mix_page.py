"""The page of a mix report: its channels play, and their faders, mute and solo are those of a mix."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from browser_support import PACK, chromium, unpacked
from support import music
from twinrack.pages.module import has_module

RATE = 48000
SECONDS = 3

pytestmark = pytest.mark.skipif(not has_module(), reason="the engine for pages is not built: run `make web`")


def song() -> tr.Session:
    session = tr.Session("Song </script>", float(RATE))
    for n in range(3):
        clip = tr.Clip(0.4 * (n + 1) * music(2, SECONDS * RATE, RATE, n))
        session.add_track(f"t{n}", clips=[clip], rack=[tr.Compressor()], gain_db=-3.0 * n)
    session.master.rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3)]), tr.Limiter(input_gain_db=6)])
    session.master.gain_db = -2.0
    return session


def error_db(y: np.ndarray, expected: np.ndarray) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean((y - expected) ** 2)) / np.sqrt(np.mean(expected**2)) + 1e-12))


def test_the_page_mixes_as_the_session_does(tmp_path):
    session = song()
    report = session.report(tmp_path / "m.html")
    assert report.desk is not None
    assert list(report.desk.stems) == ["t0", "t1", "t2"]
    mix = session.render(tail=None)
    with chromium() as page:
        page.goto(f"file://{tmp_path / 'm.html'}")

        def sound(more: str = "{}") -> np.ndarray:
            code = f"const o = await Twinrack.offline(Twinrack.pages[0].scene, {SECONDS}, {more}); return ({PACK})(o.rows);"
            return unpacked(page.evaluate(f"async () => {{ {code} }}"), 2)

        late = page.evaluate(f"async () => (await Twinrack.offline(Twinrack.pages[0].scene, {SECONDS})).latency")
        assert error_db(sound()[:, late:], mix[:, : mix.shape[1] - late]) < -65  # stems have 16 bits, and the master lifts them
        loudest = max(1.0, *(np.abs(x).max() for x in report.desk.stems.values()))
        stems = [np.round(x / loudest * 32768) / 32768 * loudest for x in report.desk.stems.values()]
        dry = np.sum(stems, axis=0).astype(np.float32)
        assert error_db(sound()[:, late:], report.desk.master.copy()(dry, RATE)[:, : dry.shape[1] - late]) < -110
        assert error_db(sound('{heard: "dry"}')[:, late:], dry[:, : dry.shape[1] - late]) < -110
        # Faders, mute and solo.
        page.click(".tr-play")
        page.wait_for_function("Twinrack.pages[0].at > 0")
        gains = "Twinrack.pages[0].strips.map((_, i) => Twinrack.pages[0].stemGain(i))"
        page.get_by_role("button", name="Mute t0").click()
        page.get_by_role("slider", name="t1: fader").fill("-6")
        assert page.evaluate(gains) == pytest.approx([0.0, 10 ** (-6 / 20), 1.0])
        page.wait_for_function("Twinrack.pages[0].strips[0].peak < -60 && Twinrack.pages[0].strips[2].peak > -60")
        page.get_by_role("button", name="Solo t2").click()
        assert page.evaluate(gains) == [0.0, 0.0, 1.0]
        page.get_by_role("button", name="Back to “Mix”").click()
        assert page.evaluate(gains) == [1.0, 1.0, 1.0]
        page.wait_for_function("Twinrack.pages[0].strips[0].peak > -60")
        page.click(".tr-play")
        assert page.inner_text(".tr-problem") == ""
        assert page.locator(".plot .main-svg").count() >= 4
        assert page.errors == []


def test_long_and_special_sessions(tmp_path, monkeypatch):
    monkeypatch.setattr("twinrack.session.measure.PLAYED_S", 3.0)
    monkeypatch.setattr("twinrack.session.measure.LEAST_PLAYED_S", 0.5)
    session = song()
    session.master.automate("gain_db", [(0.0, -6.0), (2.0, 0.0)])
    report = session.report(tmp_path / "m.html")
    assert report.desk is not None
    assert {x.shape for x in report.desk.stems.values()} == {(2, RATE)}  # 3 s of all stems together
    assert 0.0 <= report.desk.begin_s <= 2.0
    assert report.desk.left_out == "Of the master these do not play in this page: automation."
    assert report.desk.left_out in (tmp_path / "m.html").read_text()
    keyed = song()
    keyed.master.polarity = "invert_left"
    keyed.master.keys = {"voice": ("t0", "post")}
    keyed.master.rack = tr.Rack([tr.Gain(gain_db=-3), tr.Compressor(key="voice"), tr.Limiter()])
    desk = keyed.report(tmp_path / "k.html").desk
    assert desk is not None
    assert [e.card.id for e in desk.master.addresses().values()] == ["gain", "limiter", "fader"]
    assert "polarity; Compressor, which listens to a sidechain" in desk.left_out
    monkeypatch.setattr("twinrack.session.measure.MOST_STEMS", 2)
    assert song().report(tmp_path / "n.html").desk is None
    alone = tr.Session("none", float(RATE))
    alone.master.clips = [tr.Clip(music(2, RATE, RATE, 1))]
    report = alone.report(tmp_path / "a.html")
    assert report.desk is None
    assert "Mix it again" not in (tmp_path / "a.html").read_text()
