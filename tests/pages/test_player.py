"""The engine in a page: in real browsers, from a file, it is the native engine, and its knobs move it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

import twinrack as tr
from browser_support import PACK, chromium, firefox, unpacked
from support import decaying_noise, music, random_effect, small_network
from twinrack.measure.loudness import loudness
from twinrack.pages.module import has_module
from twinrack.pages.player import Scene, as_json, cannot_play, player_html, scene_data
from twinrack.rack.card import CARDS

RATE = 48000
SECONDS = 2.0
SAME_DB = -120.0

pytestmark = pytest.mark.skipif(not has_module(), reason="the engine for pages is not built: run `make web`")


def racks() -> dict[str, tr.Rack]:
    """One of every effect with values of its own, and a few that go together."""
    made = {}
    for id in CARDS:
        random = np.random.default_rng(3)
        if id == "controller":
            network = tr.ControlNetwork(["gain.gain_db"], hidden=[4])
            weights = random.normal(0, 0.5, network.weights.size).astype(np.float32)
            effects = [tr.Controller(network=tr.ControlNetwork(network.targets, network.hidden, weights)), tr.Gain()]
        elif id == "adapter":
            effects = [tr.Adapter(network=small_network())]
        elif id == "convolution_reverb":
            effects = [tr.ConvolutionReverb(impulse_response=decaying_noise(0.3), mix=0.4)]
        else:
            effects = [random_effect(CARDS[id], random)]
            made[f"{id}_expected"] = tr.Rack([random_effect(CARDS[id], random, "expected")], name=id)
        made[id] = tr.Rack(effects, name=id)
    bands = [tr.Band("low_shelf", frequency_hz=211.3, gain_db=3.7), tr.Band("bell", frequency_hz=2034.7, gain_db=-4.1)]
    made["strip"] = tr.Rack(
        [tr.ParametricEQ(bands=bands), tr.Compressor(threshold_db=-31.7), tr.FDNReverb(mix=0.27), tr.Limiter()], name="strip"
    )
    made["bands"] = tr.Rack([tr.Bands([[tr.Compressor(threshold_db=-30)], [], [tr.Saturation()]]), tr.MidSide()], name="bands")
    made["branches"] = tr.Rack([tr.Parallel([[tr.Gain(gain_db=-3)], [tr.Limiter()]]), tr.Saturation()], name="branches")
    return made


def stored(x: np.ndarray) -> np.ndarray:
    """As a page has it: 16 bits."""
    return (np.round(x * 32767) / 32768).astype(np.float32)


def sound() -> np.ndarray:
    return stored(0.5 * music(2, round(SECONDS * RATE), RATE, 3))


def error_db(y: np.ndarray, expected: np.ndarray, x: np.ndarray | None = None) -> float:
    """Relative to what is expected, or to what went in, where that is louder."""
    difference, *sizes = (
        float(np.sqrt(np.mean(np.square(z, dtype=np.float64)))) for z in (y - expected, expected, expected if x is None else x)
    )
    return 20 * float(np.log10(difference / max(sizes))) if difference > 0 else -np.inf


def prepared(rack: tr.Rack) -> tr.Rack:
    own = rack.copy()
    own.prepare(RATE, 2)
    return own


def streamed(rack: tr.Rack, x: np.ndarray) -> np.ndarray:
    """As a stream gives it, with its latency."""
    return prepared(rack).process(x)


def document(html: str) -> str:
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>t</title><body>{html}</body></html>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page for every rack."""
    folder, x = tmp_path_factory.mktemp("pages"), sound()
    made = {}
    for name, rack in racks().items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(document(player_html(Scene({"Rack": rack}, x, RATE))), encoding="utf-8")
    return made


CODE = f"""const s = Twinrack.pages[0].scene, o = await Twinrack.offline(s, {SECONDS});
    return [({PACK})(o.rows), o.latency, o.target];"""


def check(name: str, answer: list) -> float:
    text, latency, target = answer
    rack, x = racks()[name], sound()
    y, expected = unpacked(text, 2), streamed(rack, x)
    assert target == "WASM"
    assert latency == prepared(rack).latency_frames
    assert y.shape == expected.shape
    return error_db(y, expected, x)


def test_every_effect_sounds_as_the_native_engine_in_chromium(pages):
    errors = {}
    with chromium() as page:
        for name, path in pages.items():
            page.goto(f"file://{path}")
            errors[name] = check(name, page.evaluate(f"async () => {{ {CODE} }}"))
            assert page.errors == []
    print({k: round(v, 1) for k, v in errors.items()})
    assert max(errors.values()) < SAME_DB, errors


def test_every_effect_sounds_as_the_native_engine_in_firefox(pages, tmp_path):
    errors = {}
    with firefox(tmp_path) as browser:
        for name, path in pages.items():
            browser.open(path)
            errors[name] = check(name, browser.evaluate(CODE))
    print({k: round(v, 1) for k, v in errors.items()})
    assert max(errors.values()) < SAME_DB, errors


def test_knobs_switches_and_choices_move_the_sound(tmp_path):
    x = stored(0.1 * np.random.default_rng(5).standard_normal((2, round(SECONDS * RATE))))
    fitted = tr.Rack([tr.Gain(gain_db=-6), tr.Saturation(drive_db=12), tr.Limiter()], name="a")
    start = tr.Rack([tr.Gain(), tr.Saturation(), tr.Limiter()], name="a")
    target = streamed(start, x)
    path = tmp_path / "a.html"
    path.write_text(
        document(player_html(Scene({"Fitted": fitted, "Start": start}, x, RATE, target=x[:, ::-1].copy()))), "utf-8"
    )

    def page_sound(more: str) -> np.ndarray:
        code = f"const s = Twinrack.pages[0].scene, o = await Twinrack.offline(s, {SECONDS}, {more}); return ({PACK})(o.rows);"
        return unpacked(page.evaluate(f"async () => {{ {code} }}"), 2)

    late = prepared(fitted).latency_frames
    with chromium() as page:
        page.goto(f"file://{path}")
        assert error_db(page_sound("{}"), streamed(fitted, x)) < SAME_DB
        assert error_db(page_sound('{heard: "Start"}'), target) < SAME_DB
        assert error_db(page_sound('{heard: "dry"}')[:, late:], x[:, : x.shape[1] - late]) < SAME_DB  # in step
        difference = page_sound('{heard: "difference"}')
        assert error_db(difference[:, late:], x[:, ::-1][:, :-late] - streamed(fitted, x)[:, late:]) < -100
        # Live: what the reader does reaches the audio thread.
        page.click(".tr-play")
        page.wait_for_function("document.querySelector('.tr-player').dataset.state === 'playing' && Twinrack.pages[0].at > 0")

        def meter() -> float:
            page.wait_for_timeout(400)
            return float(re.search(r"out (\S+) dB", page.inner_text(".tr-effect .tr-meter")).group(1).replace("−", "-"))

        before = meter()

        def comes(condition: Callable[[float], bool]) -> bool:
            return any(condition(meter()) for _ in range(40))  # a busy machine takes its time

        page.locator("[data-address='gain.gain_db']").evaluate("e => { e.value = 0.2; e.dispatchEvent(new Event('input')); }")
        assert comes(lambda db: db < before - 6)
        page.get_by_role("checkbox", name="Gain on").uncheck()
        assert comes(lambda db: db > before + 3)
        page.get_by_role("button", name="Back to “Fitted”").click()
        assert comes(lambda db: abs(db - before) < 3)
        page.keyboard.press("1")
        assert page.locator("input[value=dry]").is_checked()
        page.get_by_role("button", name="What Saturation changes").click()
        assert page.get_by_role("button", name="What Saturation changes").get_attribute("aria-pressed") == "true"
        page.wait_for_timeout(200)
        page.click(".tr-play")
        assert page.locator(".tr-player").get_attribute("data-state") == "paused"
        assert page.inner_text(".tr-problem") == ""
        assert page.errors == []


def test_what_an_effect_changes_is_the_sound_with_it_minus_the_sound_without(tmp_path):
    x = sound()
    rack = tr.Rack([tr.Gain(gain_db=-6), tr.Gain(gain_db=3)], name="a")
    path = tmp_path / "a.html"
    path.write_text(document(player_html(Scene({"R": rack}, x, RATE))), "utf-8")
    code = f"""const s = Twinrack.pages[0].scene, o = await Twinrack.offline(s, {SECONDS}, {{ heard: "change", effect: 1 }});
               return ({PACK})(o.rows);"""
    with chromium() as page:
        page.goto(f"file://{path}")
        y = unpacked(page.evaluate(f"async () => {{ {code} }}"), 2)
    gain = 10 ** (-6 / 20) * (10 ** (3 / 20) - 1)
    assert error_db(y[:, 9600:], gain * x[:, 9600:]) < -100


def test_what_a_block_changes_before_the_first_play_and_after_going_back(tmp_path):
    x = stored(0.1 * np.random.default_rng(6).standard_normal((2, round(SECONDS * RATE))))
    path = tmp_path / "a.html"
    path.write_text(
        document(player_html(Scene({"Rack": tr.Rack([tr.Gain(), tr.Gain(gain_db=6)], name="a")}, x, RATE))), "utf-8"
    )
    with chromium() as page:
        page.goto(f"file://{path}")
        # The level of what leaves the page, by an analyser beside the loudspeakers.
        page.evaluate("""() => {
          const play = Twinrack.pages[0].begin.bind(Twinrack.pages[0]);
          Twinrack.pages[0].begin = async () => { await play();
            const p = Twinrack.pages[0];
            p.analyser = new AnalyserNode(p.context, { fftSize: 16384 });
            p.node.connect(p.analyser); };
        }""")

        def level_db() -> float:
            page.wait_for_timeout(700)
            return page.evaluate("""() => { const a = Twinrack.pages[0].analyser, x = new Float32Array(a.fftSize);
              a.getFloatTimeDomainData(x); return 10 * Math.log10(x.reduce((s, v) => s + v * v, 1e-20) / x.length); }""")

        page.get_by_role("button", name="What Gain 2 changes").click()
        page.click(".tr-play")
        page.wait_for_function("Twinrack.pages[0].at > 0 && Twinrack.pages[0].analyser")

        def comes(condition: Callable[[float], bool]) -> bool:
            return any(condition(level_db()) for _ in range(25))

        assert comes(lambda db: db > -40)  # 6 dB more are nearly as loud as the sound
        page.get_by_role("button", name="What Gain changes").click()
        assert comes(lambda db: db < -90)  # which does nothing
        page.locator("[data-address='gain.gain_db']").evaluate("e => { e.value = 0.9; e.dispatchEvent(new Event('input')); }")
        assert comes(lambda db: db > -60)
        page.get_by_role("button", name="Back to “Rack”").click()
        assert comes(lambda db: db < -90)
        assert page.errors == []
        page.click(".tr-play")
        page.wait_for_selector(".tr-player[data-state=paused]")
        page.get_by_label("Position in s").fill("1")
        assert page.evaluate("Twinrack.pages[0].at") == RATE
        page.get_by_role("button", name="Loop from here").click()
        assert page.evaluate("Twinrack.pages[0].loop")[1] == round(SECONDS * RATE)


def test_a_damaged_rack_is_a_sentence_on_the_page(tmp_path):
    html = player_html(Scene({"R": tr.Rack([tr.Gain()])}, sound(), RATE))
    path = tmp_path / "a.html"
    path.write_text(document(html), "utf-8")
    with chromium() as page:
        page.goto(f"file://{path}")
        page.evaluate("Twinrack.pages[0].scene.racks.R = btoa('not gzip')")
        page.click(".tr-play")
        page.wait_for_selector(".tr-player[data-state=failed]")
        assert page.inner_text(".tr-problem").startswith("The page cannot play this: ")
        code = """const s = Twinrack.pages[0].scene; s.racks = {};
            const pack = new Blob([new TextEncoder().encode("flat")]).stream().pipeThrough(new CompressionStream("gzip"));
            const bytes = new Uint8Array(await new Response(pack).arrayBuffer());
            s.racks.R = btoa(String.fromCharCode(...bytes));
            try { await Twinrack.offline(s, 1); return "played"; } catch (e) { return e.message; }"""
        assert page.evaluate(f"async () => {{ {code} }}").startswith("not a flat rack: ")


def test_names_cannot_leave_their_place(tmp_path):
    evil = "</script><img src=x onerror=document.title='taken'>"
    rack = tr.Rack([tr.Gain(name="g")], name=evil)
    path = tmp_path / "a.html"
    path.write_text(document(player_html(Scene({evil: rack}, sound(), RATE, title=evil))), "utf-8")
    with chromium() as page:
        page.goto(f"file://{path}")
        page.wait_for_timeout(200)
        assert page.title() == "t"
        assert page.locator("img").count() == 0
        assert evil in page.inner_text(".tr-choice")
    assert json.loads(as_json({"a": evil + "\u2028"})) == {"a": evil + "\u2028"}


def test_thirty_seconds_stay_below_five_megabytes():
    x = np.tile(sound(), (1, 15)) + 0.01 * np.random.default_rng(0).standard_normal((2, 30 * RATE)).astype(np.float32)
    rack = racks()["strip"]
    scene = Scene({"Fitted": rack, "Start": rack}, x, RATE, target=rack(x, RATE))
    assert len(player_html(scene)) < 5e6
    assert scene_data(scene)["stored"].startswith("Opus")
    assert len(player_html(Scene({"Fitted": rack}, x, 44100, target=x))) < 5e6  # Opus has no such rate


def test_what_cannot_play_is_said():
    x = sound()
    assert "outside the engine" in cannot_play(Scene({"a": tr.Rack([tr.PythonEffect(lambda x, rate: x)])}, x, RATE))
    assert "the sidechain “k”, for which no sound was given" in cannot_play(
        Scene({"a": tr.Rack([tr.Compressor(key="k")])}, x, RATE)
    )
    other = Scene({"a": tr.Rack([tr.Compressor(key="k")]), "b": tr.Rack([tr.Compressor()])}, x, RATE)
    assert "different sidechains" in cannot_play(other)
    many = np.zeros((3, 100), np.float32)
    scene = Scene({"a": tr.Rack([tr.Gain()])}, many, RATE)
    assert "this recording has 3" in cannot_play(scene)
    with pytest.raises(ValueError, match="this recording has 3"):
        player_html(scene)


def test_curves_and_figures_measured_in_the_page_are_those_of_the_engine(tmp_path):
    rack = tr.Rack(
        [
            tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1000, gain_db=9.0, q=1.0)]),
            tr.Compressor(threshold_db=-30, ratio=4),
        ]
    )
    dry = sound()
    (tmp_path / "p.html").write_text(document(player_html(Scene({"Rack": rack}, dry, RATE))))
    address = "parametric_eq.band1.gain_db"
    changed = rack.copy()
    changed.addresses()["parametric_eq"].bands[0].gain_db = -6.0
    with chromium() as browser:
        browser.goto(f"file://{tmp_path / 'p.html'}")
        browser.evaluate(f"Twinrack.pages[0].move({{ '{address}': -6 }})")
        browser.click(".tr-measured summary")
        browser.wait_for_selector(".tr-curves svg")
        browser.click(".tr-measure")
        browser.wait_for_selector(".tr-figures table")
        figures = browser.evaluate("Twinrack.pages[0].last")
        code = """async () => {
          const bench = await Twinrack.pages[0].bench(), rack = bench.rack(Twinrack.pages[0].moved);
          return { response: (await bench.response(rack))[0], levels: (await bench.levels(rack))[0] };
        }"""
        curves = browser.evaluate(code)
        assert browser.locator(".tr-curves svg").count() == 2
        assert browser.errors == []
    played = {"dry": dry, "as it is": rack.copy()(dry, RATE), "as you moved it": changed(dry, RATE)}
    for name, y in played.items():
        own = loudness(y, RATE)
        assert figures[name]["loudness"] == pytest.approx(own.integrated, abs=0.02)
        assert figures[name]["peak"] == pytest.approx(20 * np.log10(np.abs(y).max()), abs=0.02)
    response = dict(curves["response"])
    hz = min(response, key=lambda f: abs(f - 1000))
    assert response[hz] == pytest.approx(-6.0, abs=0.15)
    assert response[20] == pytest.approx(0.0, abs=0.2)
    tone = dict(curves["levels"])
    assert tone[-60] == pytest.approx(-66.0, abs=0.15)
    for level in (-20, 0):  # 6 dB below through the band; threshold -30 dB, 4 to 1
        static = np.float32(10 ** (level / 20)) * np.sin(2 * np.pi * 997 * np.arange(RATE) / RATE).astype(np.float32)
        y = changed.copy()(np.stack([static, static]), RATE)[0, -RATE // 4 :]
        assert tone[level] == pytest.approx(10 * np.log10(2 * np.mean(y**2)), abs=0.3)


def test_sidechains_are_heard_in_the_page(tmp_path):
    x, voice, kick = (
        sound(),
        stored(0.8 * music(1, round(SECONDS * RATE), RATE, 8)),
        stored(0.5 * music(2, round(SECONDS * RATE), RATE, 9)),
    )
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=8, key="voice"), tr.Gate(threshold_db=-30, key="kick")])
    keys = {"voice": voice, "kick": kick}
    (tmp_path / "p.html").write_text(document(player_html(Scene({"Rack": rack}, x, RATE, sidechains=keys))))
    wide = {"voice": np.repeat(voice, 2, axis=0), "kick": kick}
    own = prepared(rack)
    wanted = own.process(x, sidechain=wide)
    with chromium() as page:
        page.goto(f"file://{tmp_path / 'p.html'}")
        code = f"const o = await Twinrack.offline(Twinrack.pages[0].scene, {SECONDS}); return ({PACK})(o.rows);"
        assert error_db(unpacked(page.evaluate(f"async () => {{ {code} }}"), 2), wanted) < SAME_DB
        # Measured with them too; curves are of the effects on the sound itself.
        page.click(".tr-measured summary")
        page.click(".tr-measure")
        page.wait_for_selector(".tr-figures table")
        figures = page.evaluate("Twinrack.pages[0].last['as it is']")
        assert figures["loudness"] == pytest.approx(loudness(rack.copy()(x, RATE, sidechain=wide), RATE).integrated, abs=0.05)
        assert page.errors == []
